//! The configuration as files: the sample, the reference page, files that cannot be read, and
//! texts that nobody would write.

use std::fs;
use std::path::{Path, PathBuf};

use hydrogen::config::{Config, Problem, reference};
use proptest::prelude::*;

fn in_repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn problems(path: &Path) -> Vec<String> {
    let problems = Config::load(path).expect_err("it must not load");
    problems.iter().map(Problem::to_string).collect()
}

#[test]
fn the_sample_loads_without_a_warning_and_keeps_to_the_defaults() {
    let loaded = Config::load(in_repository("conf/hydrogen.json")).unwrap();
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.config, Config::default());
}

#[test]
fn the_reference_page_is_what_the_declarations_say() {
    let path = in_repository("docs/configuration.md");
    if std::env::var_os("HYDROGEN_BLESS").is_some() {
        fs::write(&path, reference()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap_or_default();
    assert!(page == reference(), "docs/configuration.md is out of date: HYDROGEN_BLESS=1 cargo test rewrites it");
}

#[test]
fn every_key_of_the_sample_is_on_the_reference_page() {
    let (sample, page) = (fs::read_to_string(in_repository("conf/hydrogen.json")).unwrap(), reference());
    let keys: Vec<&str> = sample.lines().filter_map(|line| line.trim().strip_prefix('"')?.split('"').next()).collect();
    assert!(keys.len() > 20);
    for key in keys {
        assert!(page.contains(&format!("| `{key}` |")) || page.contains(&format!("## {key}\n")), "{key}");
    }
}

#[test]
fn files_that_cannot_be_read_are_told_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hydrogen.json");
    let name = file.display();
    assert_eq!(problems(&file), [format!("{name}: there is no such file")]);
    assert_eq!(problems(dir.path()), [format!("{}: a directory, not a file", dir.path().display())]);

    fs::write(&file, "").unwrap();
    assert_eq!(problems(&file), [format!("{name}:1:1: the file is empty; an empty configuration is {{}}")]);
    let below = problems(&file.join("x"));
    assert!(below[0].starts_with(&format!("{name}/x: cannot be read: ")), "{below:?}");

    fs::write(&file, b"\xef\xbb\xbf{\n  \"DataDir\": \"\xff\"}").unwrap();
    assert_eq!(problems(&file), [format!("{name}:2:15: not UTF-8 from here on")]);
    fs::write(&file, " ".repeat(1024 * 1024 + 1)).unwrap();
    assert_eq!(problems(&file), [format!("{name}: larger than 1048576 bytes")]);
    fs::write(&file, "{\"DataDir\": 1}").unwrap();
    assert_eq!(problems(&file), [format!("{name}:1:13: DataDir: expected a string, found a number")]);
}

#[test]
fn variables_come_from_the_environment_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hydrogen.json");
    fs::write(&file, "{\"DataDir\": \"${env.CARGO_MANIFEST_DIR}/data\"}").unwrap();
    assert_eq!(Config::load(&file).unwrap().config.data_dir, in_repository("data"));
}

#[test]
fn a_file_cut_off_anywhere_is_refused_at_a_place_in_it() {
    let sample = fs::read_to_string(in_repository("conf/hydrogen.json")).unwrap();
    let lines = sample.lines().count();
    let end = sample.rfind('}').unwrap();
    for cut in (0..end).filter(|at| sample.is_char_boundary(*at)) {
        let problems = Config::parse(&sample[..cut], "f", &|_| None).expect_err("cut off");
        assert!(problems.iter().all(|p| (1..=lines).contains(&p.line) && p.column > 0), "{cut}: {problems:?}");
    }
}

#[test]
fn a_file_full_of_mistakes_gets_a_bounded_answer() {
    let unknown: String = (0..50_000).map(|n| format!("\"K{n}\": 1,")).collect();
    let twice = "\"K\": 1,".repeat(50_000);
    for text in [format!("{{{unknown}}}"), format!("{{{twice}}}")] {
        let problems = Config::parse(&text, "f", &|_| None).expect_err("all wrong");
        assert_eq!(problems.len(), 1001);
        assert!(problems[1000].message.starts_with("and 4"), "{}", problems[1000]);
    }
}

/// The sample with its optional keys switched on, and older names.
fn rich() -> String {
    let sample = fs::read_to_string(in_repository("conf/hydrogen.json")).unwrap();
    sample
        .replace("// \"Key\"", "\"Key\"")
        .replace(
            "\"Rules\": []",
            "\"Rules\": [{\"Topics\": \"a.>\", \"History\": true, \"MaxAge\": 9}, {\"Topics\": \"*.b\"}]",
        )
        .replace("\"Port\"", "\"EnableIPv4\": true, \"Port\"")
        .replace("\"RateLimit\"", "\"Server\": {\"PayloadKey\": \"${env.X}\"}, \"Print\": [{}], \"RateLimit\"")
}

fn env(name: &str) -> Option<String> {
    (name.len() < 20).then(|| "12345678".to_owned())
}

fn check(text: &str) -> Result<(), TestCaseError> {
    if let Err(problems) = Config::parse(text, "f", &env) {
        prop_assert!(!problems.is_empty());
        for problem in problems {
            prop_assert!(!problem.message.is_empty());
            prop_assert!(!problem.to_string().contains('\n'), "{problem:?}");
        }
    }
    Ok(())
}

#[test]
fn the_text_that_is_changed_below_loads_unchanged() {
    let loaded = Config::parse(&rich(), "f", &env).unwrap();
    assert_eq!(loaded.warnings.len(), 3, "{:?}", loaded.warnings);
    assert!(loaded.config.web_socket_server.key.is_some());
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&String::from_utf8_lossy(&bytes))?;
    }

    #[test]
    fn no_json_like_text_makes_it_panic(text in "[\\[\\]{},:\"\\\\/*0-9.eE+\\-a-zA-Z$ \n\ré𝄞]{0,80}") {
        check(&text)?;
        check(&format!("{{\"WebSocketServer\": {text}}}"))?;
        check(&format!("{{\"DataDir\": \"{text}\"}}"))?;
    }

    #[test]
    fn no_change_of_the_sample_makes_it_panic(
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0usize..6, "[\\[\\]{},:\"\\\\/*0-9\\-a-zA-Z$ \n\u{feff}é]{0,4}"), 1..6),
    ) {
        let mut text: Vec<char> = rich().chars().collect();
        for (at, removed, inserted) in edits {
            let at = at.index(text.len());
            let end = (at + removed).min(text.len());
            text.splice(at..end, inserted.chars());
        }
        check(&text.into_iter().collect::<String>())?;
    }

    #[test]
    fn no_value_of_any_type_makes_any_key_panic(
        (section, key, value) in (section(), key(), "(null|true|-?[0-9]{1,30}|\"[^\"\\\\\\x00-\\x1f]{0,20}\"|\\[\"a\"\\]|\\{\\})"),
    ) {
        check(&format!("{{\"{section}\": {{\"{key}\": {value}}}}}"))?;
        check(&format!("{{\"{section}\": {value}}}"))?;
        check(&format!("{{\"Topics\": {{\"Rules\": [{{\"{key}\": {value}}}, {value}]}}}}"))?;
    }
}

fn words(prefix: &str) -> Vec<String> {
    let page = reference();
    page.lines().filter_map(|line| Some(line.strip_prefix(prefix)?.split(['`', ' ']).next()?.to_owned())).collect()
}

fn section() -> impl Strategy<Value = String> {
    prop::sample::select(words("## "))
}

fn key() -> impl Strategy<Value = String> {
    prop::sample::select(words("| `"))
}
