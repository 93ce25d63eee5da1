//! Each fault that the checks are for, planted in a trace that is right.

use super::*;

const LEDGER: Subscription = Subscription { who: "ledger", is_group: false, topics: &["o.*"], kind: None };
const CREW: Subscription = Subscription { who: "crew", is_group: true, topics: &["o.*"], kind: None };
const PICKY: Subscription = Subscription { who: "picky", is_group: false, topics: &["o.>"], kind: Some("a") };

/// A run that is told step by step, 10 ms apart.
#[derive(Default)]
struct Run {
    trace: Vec<Entry>,
    survey: Survey,
    now_ms: u64,
    pings: u64,
}

fn id(offset: u64) -> EventId {
    EventId { epoch: "e1".into(), offset }
}

impl Run {
    /// Connection 1 reads `ledger` in life 1; numbers 1 to 4 are published as offsets 1 to 4.
    fn begun() -> Run {
        let mut run = Run::default();
        run.opened(1, 1);
        for number in 1..=4 {
            run.published(number, number);
        }
        run
    }

    /// The same, with everything delivered and acked.
    fn right() -> Run {
        let mut run = Run::begun();
        for number in 1..=4 {
            run.delivered(1, number, number, 1).acked(1, number).confirmed(1);
        }
        run
    }

    fn add(&mut self, who: &'static str, connection: u32, what: What) -> &mut Run {
        self.now_ms += 10;
        self.trace.push(Entry { at_ns: self.now_ms * 1_000_000, who, connection, what });
        self
    }

    fn wait(&mut self, ms: u64) -> &mut Run {
        self.now_ms += ms;
        self
    }

    fn opened(&mut self, connection: u32, life: u32) -> &mut Run {
        self.add("ledger", connection, What::Opened { life }).add("ledger", connection, What::Subscribed)
    }

    fn published(&mut self, number: u64, offset: u64) -> &mut Run {
        self.sent(number).answered(number, offset, "disk");
        self.survey.history.entry("o.x".into()).or_default().push((id(offset), number));
        self
    }

    fn sent(&mut self, number: u64) -> &mut Run {
        self.add("publisher", 9, What::Sent { number, topic: "o.x", guaranteed: true })
    }

    fn answered(&mut self, number: u64, offset: u64, level: &str) -> &mut Run {
        self.add("publisher", 9, What::Answered { number, event: id(offset), level: Some(level.into()) })
    }

    fn delivered(&mut self, connection: u32, offset: u64, number: u64, attempt: u64) -> &mut Run {
        let (event, prev) = (id(offset), offset.checked_sub(1));
        self.add("ledger", connection, What::Delivered { event, topic: "o.x".into(), number, attempt, prev })
    }

    fn acked(&mut self, connection: u32, offset: u64) -> &mut Run {
        self.add("ledger", connection, What::Acked { events: vec![id(offset)] })
    }

    fn confirmed(&mut self, connection: u32) -> &mut Run {
        self.pings += 1;
        let ping = self.pings;
        self.add("ledger", connection, What::Pinged { ping }).add("ledger", connection, What::Confirmed { ping })
    }

    fn faults(&self) -> Vec<String> {
        self.faults_of(LEDGER)
    }

    fn faults_of(&self, subscription: Subscription) -> Vec<String> {
        let mut trace = self.trace.clone();
        for entry in trace.iter_mut().filter(|entry| entry.who == "ledger") {
            entry.who = subscription.who;
        }
        check(&[subscription], &trace, &self.survey, &Floors::new())
    }

    /// Exactly one fault, which says this.
    fn finds(&self, text: &str) {
        let faults = self.faults();
        assert!(faults.len() == 1 && faults[0].contains(text), "wanted {text:?}, found {faults:#?}");
    }

    fn is_right(&self) {
        assert_eq!(self.faults(), [] as [String; 0]);
    }
}

#[test]
fn what_is_right_passes() {
    Run::right().is_right();
}

#[test]
fn a_lost_event_is_found() {
    let mut run = Run::begun();
    run.delivered(1, 1, 1, 1).delivered(1, 2, 2, 1).delivered(1, 4, 4, 1);
    run.finds("ledger: lost: o.x e1-3, number 3");
    run.survey.dead.insert(id(3));
    run.is_right();
}

#[test]
fn what_was_not_answered_need_not_come() {
    let mut run = Run::right();
    run.sent(5).is_right();
    run.answered(5, 5, "disk");
    run.survey.history.get_mut("o.x").unwrap().push((id(5), 5));
    run.finds("number 5");
}

#[test]
fn what_was_published_before_the_subscription_was_granted_need_not_come() {
    let mut run = Run::default();
    run.published(1, 1).opened(1, 1);
    run.is_right();
}

#[test]
fn a_filter_is_kept() {
    let mut run = Run::begun();
    // Only number 3 is of the kind.
    run.delivered(1, 3, 3, 1);
    assert_eq!(run.faults_of(PICKY), [] as [String; 0]);
    run.delivered(1, 4, 4, 1);
    let faults = run.faults_of(PICKY);
    assert!(faults.len() == 1 && faults[0].contains("did not ask for"), "{faults:?}");
}

#[test]
fn a_wrong_order_is_found() {
    let mut run = Run::begun();
    run.delivered(1, 1, 1, 1).delivered(1, 3, 3, 1).delivered(1, 2, 2, 1).delivered(1, 4, 4, 1);
    assert!(run.faults().iter().any(|fault| fault.contains("e1-2 came behind e1-3")), "{:?}", run.faults());
    // What one member of a group did not ack may come to another late, but then it says so.
    assert!(!run.faults_of(CREW).is_empty());
    let mut run = Run::begun();
    run.delivered(1, 1, 1, 1).delivered(1, 3, 3, 1).delivered(1, 2, 2, 2).delivered(1, 4, 4, 1);
    assert_eq!(run.faults_of(CREW), [] as [String; 0]);
}

#[test]
fn a_returning_client_gets_the_old_before_the_new() {
    let mut run = Run::begun();
    run.delivered(1, 1, 1, 1).delivered(1, 2, 2, 1).opened(2, 1);
    run.delivered(2, 3, 3, 1).delivered(2, 1, 1, 2).delivered(2, 2, 2, 2).delivered(2, 4, 4, 1);
    run.finds("e1-1 came behind e1-3");
}

#[test]
fn an_epoch_that_was_left_does_not_come_back() {
    let mut run = Run::right();
    let event = |epoch: &str, offset| EventId { epoch: epoch.into(), offset };
    for (number, event) in [(5, event("e2", 1)), (6, event("e1", 5))] {
        run.sent(number);
        run.add("publisher", 9, What::Answered { number, event: event.clone(), level: Some("disk".into()) });
        run.add("ledger", 1, What::Delivered { event, topic: "o.x".into(), number, attempt: 1, prev: None });
    }
    run.survey.history.clear();
    run.finds("e1-5 came behind e2-1");
}

#[test]
fn a_double_on_one_connection_is_found() {
    let mut run = Run::right();
    run.delivered(1, 4, 4, 1);
    run.finds("although its ack had been processed in this life");
    let mut run = Run::begun();
    for number in 1..=4 {
        run.delivered(1, number, number, 1);
    }
    run.delivered(1, 4, 4, 2).finds("before the ack's time was over");
}

#[test]
fn a_repeat_after_the_ack_timeout_is_right() {
    let mut run = Run::begun();
    for number in 1..=4 {
        run.delivered(1, number, number, 1);
    }
    run.wait(repeats::ACK_TIMEOUT_MS).delivered(1, 4, 4, 2).is_right();
}

#[test]
fn a_repeat_on_another_connection_of_the_same_life_is_found_if_the_ack_was_processed() {
    let mut run = Run::right();
    run.wait(200).opened(2, 1).delivered(2, 4, 4, 2);
    run.finds("although its ack had been processed in this life");
    let mut run = Run::right();
    // Its own ack was sent and never known to be processed.
    run.published(5, 5).delivered(1, 5, 5, 1).acked(1, 5).opened(2, 1).delivered(2, 5, 5, 2).is_right();
}

#[test]
fn a_repeat_after_a_kill_is_right() {
    let mut run = Run::right();
    run.opened(2, 2).delivered(2, 3, 3, 1).delivered(2, 4, 4, 1).is_right();
    run.acked(2, 4).confirmed(2).delivered(2, 4, 4, 2);
    run.finds("although its ack had been processed in this life");
}

#[test]
fn a_refused_event_is_a_dead_letter_and_comes_no_more() {
    let mut run = Run::right();
    run.published(5, 5).delivered(1, 5, 5, 1).add("ledger", 1, What::Rejected { event: id(5) }).confirmed(1);
    run.finds("was refused and is not among the dead letters");
    run.survey.dead.insert(id(5));
    run.is_right();
}

#[test]
fn a_gap_in_the_offsets_is_found() {
    let mut run = Run::right();
    run.published(5, 6).delivered(1, 6, 5, 1);
    run.finds("nobody knows offsets 5 to 5");
}

#[test]
fn an_event_that_leads_to_another_than_the_one_before_it_is_found() {
    let mut run = Run::right();
    run.published(5, 5);
    run.add("ledger", 1, What::Delivered { event: id(5), topic: "o.x".into(), number: 5, attempt: 1, prev: Some(3) });
    run.finds("says that Some(3) is before it");
}

#[test]
fn two_payloads_under_one_id_are_found() {
    let mut run = Run::right();
    run.sent(5).answered(5, 4, "disk").delivered(1, 4, 5, 1);
    assert!(run.faults().iter().any(|fault| fault.contains("e1-4 is number 5, and was number 4")));
}

#[test]
fn one_publish_that_was_stored_twice_is_found() {
    let mut run = Run::right();
    run.survey.history.get_mut("o.x").unwrap().push((id(5), 4));
    run.finds("number 4 is event e1-5, and was event e1-4");
    let mut run = Run::right();
    run.answered(4, 4, "disk").is_right();
    run.answered(4, 5, "disk");
    run.finds("number 4 is event e1-5, and was event e1-4");
}

#[test]
fn an_answer_before_the_disk_has_it_is_found() {
    let mut run = Run::right();
    run.sent(5).answered(5, 5, "memory").delivered(1, 5, 5, 1);
    run.survey.history.get_mut("o.x").unwrap().push((id(5), 5));
    run.finds("answered with the level");
}

#[test]
fn a_history_that_lacks_or_invents_is_found() {
    let mut run = Run::right();
    run.survey.history.get_mut("o.x").unwrap().remove(1);
    run.finds("number 2, e1-2, was answered and is not in the history");
    run.survey.history.get_mut("o.x").unwrap().clear();
    run.finds("the history is empty");
    let mut run = Run::right();
    run.survey.history.get_mut("o.x").unwrap().push((id(5), 77));
    run.finds("number 77, which nobody published");
    let mut run = Run::right();
    run.survey.history.get_mut("o.x").unwrap().swap(0, 1);
    run.finds("the history is out of order");
}

#[test]
fn what_an_earlier_check_judged_is_left_alone() {
    let mut run = Run::right();
    let mut floors = Floors::new();
    raise(&mut floors, &run.trace, &run.survey);
    assert_eq!(floors[&("o.x".to_owned(), "e1".into())], 4);
    run.trace.clear();
    run.opened(2, 2).delivered(2, 4, 4, 1).published(5, 5).delivered(2, 5, 5, 1);
    assert_eq!(check(&[LEDGER], &run.trace, &run.survey, &floors), [] as [String; 0]);
    run.published(6, 7).delivered(2, 7, 6, 1);
    assert!(check(&[LEDGER], &run.trace, &run.survey, &floors)[0].contains("offsets 6 to 6"));
}

#[test]
fn patterns_are_the_protocols() {
    for (pattern, topic, wanted) in [
        ("a.b", "a.b", true),
        ("a.*", "a.b", true),
        ("a.*", "a.b.c", false),
        ("a.>", "a.b.c", true),
        ("a.>", "a", false),
        ("a.*.c", "a.b.c", true),
        ("a.*.c", "a.b.d", false),
    ] {
        assert_eq!(matches(pattern, topic), wanted, "{pattern} {topic}");
    }
}
