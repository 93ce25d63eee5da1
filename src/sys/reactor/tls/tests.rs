use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream as Plain};
use std::time::{Duration, Instant};

use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::*;

/// A session on one end of a connection, and a client of `rustls` with its usual buffers on the other.
struct Pair {
    session: Session,
    stream: TcpStream,
    scratch: Scratch,
    client: ClientConnection,
    wire: Plain,
}

fn configs(versions: &[&'static SupportedProtocolVersion]) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate: CertificateDer<'static> = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    (Arc::new(server), Arc::new(client))
}

impl Pair {
    fn new(versions: &[&'static SupportedProtocolVersion]) -> Pair {
        let (server, client) = configs(versions);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let wire = Plain::connect(listener.local_addr().unwrap()).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        accepted.set_nonblocking(true).unwrap();
        wire.set_nonblocking(true).unwrap();
        Pair {
            session: Session::new(&server).unwrap(),
            stream: TcpStream::from_std(accepted),
            scratch: Scratch::new(true),
            client: ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap(),
            wire,
        }
    }

    fn established(versions: &[&'static SupportedProtocolVersion]) -> Pair {
        let mut pair = Pair::new(versions);
        let until = Instant::now() + Duration::from_secs(20);
        while pair.client.is_handshaking() || !pair.session.is_established {
            pair.client_turn();
            assert!(matches!(pair.server_reads(), Ok(ReadOutcome::NotNow)));
            assert!(Instant::now() < until);
        }
        pair.client_turn();
        pair
    }

    fn server_reads(&mut self) -> Result<ReadOutcome, SocketFault> {
        let mut buffer = vec![0; READ_BUFFER];
        self.session.read(&mut self.stream, &mut buffer, &mut self.scratch, false)
    }

    /// What the server reads until the socket is empty.
    fn server_text(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let mut buffer = vec![0; READ_BUFFER];
        while let Ok(ReadOutcome::Bytes(count, _)) =
            self.session.read(&mut self.stream, &mut buffer, &mut self.scratch, false)
        {
            all.extend_from_slice(&buffer[..count]);
        }
        all
    }

    fn server_writes(&mut self, texts: &[&[u8]]) -> Written {
        let slices: Vec<IoSlice<'_>> = texts.iter().map(|text| IoSlice::new(text)).collect();
        self.session.write(&mut self.stream, &slices, &mut self.scratch).unwrap()
    }

    /// The client writes what it has, and reads what is there.
    fn client_turn(&mut self) {
        while self.client.wants_write() && self.client.write_tls(&mut self.wire).is_ok() {}
        loop {
            match self.client.read_tls(&mut self.wire) {
                Ok(0) | Err(_) => break,
                Ok(_) => drop(self.client.process_new_packets().unwrap()),
            }
            if self.client.process_new_packets().unwrap().plaintext_bytes_to_read() > 60_000 {
                break;
            }
        }
    }

    fn client_text(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        let _ = self.client.reader().read_to_end(&mut all);
        all
    }

    /// Lets what is on its way arrive.
    fn until<T>(&mut self, what: &str, mut found: impl FnMut(&mut Pair) -> Option<T>) -> T {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(found) = found(self) {
                return found;
            }
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

const BOTH: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13, &rustls::version::TLS12];

#[test]
fn both_versions_carry_texts_both_ways_and_hold_nothing_when_idle() {
    for version in BOTH {
        let mut pair = Pair::established(&[version]);
        pair.client.writer().write_all(b"from the client").unwrap();
        pair.client_turn();
        let text = pair.until("the text comes", |pair| Some(pair.server_text()).filter(|text| !text.is_empty()));
        assert_eq!(text, b"from the client");
        let written = pair.server_writes(&[b"from ", b"the ", b"server"]);
        assert_eq!((written.count, written.blocked), (15, false));
        let text = pair.until("the text comes", |pair| {
            pair.client_turn();
            Some(pair.client_text()).filter(|text| !text.is_empty())
        });
        assert_eq!(text, b"from the server");
        assert_eq!((pair.session.incoming.capacity(), pair.session.outgoing.capacity()), (0, 0));
    }
}

#[test]
fn records_may_come_byte_by_byte() {
    let mut pair = Pair::established(BOTH);
    let text: Vec<u8> = (0..700u32).map(|number| number as u8).collect();
    pair.client.writer().write_all(&text[..300]).unwrap();
    pair.client.writer().write_all(&text[300..]).unwrap();
    let mut cipher = Vec::new();
    while pair.client.wants_write() {
        pair.client.write_tls(&mut cipher).unwrap();
    }
    let mut seen = Vec::new();
    for byte in cipher {
        pair.wire.write_all(&[byte]).unwrap();
        seen.extend(pair.server_text());
    }
    seen.extend(pair.until("the rest comes", |pair| {
        let more = pair.server_text();
        (seen.len() + more.len() == text.len()).then_some(more)
    }));
    assert_eq!(seen, text);
    assert_eq!(pair.session.incoming.capacity(), 0);
}

#[test]
fn what_a_full_socket_does_not_take_comes_later_and_in_order() {
    let mut pair = Pair::established(BOTH);
    let text: Vec<u8> = (0..12_000_000u32).map(|number| (number / 251) as u8).collect();
    let mut sent = 0;
    loop {
        let end = text.len().min(sent + 100_000);
        let written = pair.server_writes(&[&text[sent..end]]);
        sent += written.count;
        assert!(sent < text.len(), "the socket fills up");
        if written.blocked {
            break;
        }
    }
    assert!(!pair.session.outgoing.is_empty());
    let again = pair.server_writes(&[&text[sent..]]);
    assert_eq!((again.count, again.blocked), (0, true), "nothing more is taken");
    let mut seen = Vec::new();
    pair.until("all of it comes", |pair| {
        pair.client_turn();
        seen.extend(pair.client_text());
        sent += pair.server_writes(&[&text[sent..]]).count;
        (seen.len() == text.len()).then_some(())
    });
    assert!(seen == text);
    assert_eq!(pair.session.outgoing.capacity(), 0);
}

#[test]
fn what_is_no_tls_is_told_so() {
    let mut pair = Pair::new(BOTH);
    pair.wire.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let fault = pair.until("it is noticed", |pair| pair.server_reads().err());
    assert_eq!(fault, SocketFault::Tls);
    assert_eq!(pair.session.flush(&mut pair.stream), Ok(true));
    let mut answer = [0; 64];
    let count = pair.until("an alert comes", |pair| pair.wire.read(&mut answer).ok());
    assert!(count > 0 && answer[0] == 21, "RFC 8446 5.1: the type of an alert");
}

#[test]
fn either_end_may_close_and_the_other_knows() {
    let mut pair = Pair::established(BOTH);
    pair.client.writer().write_all(b"last words").unwrap();
    pair.client.send_close_notify();
    pair.client_turn();
    let text = pair.until("the last words come", |pair| Some(pair.server_text()).filter(|text| !text.is_empty()));
    assert_eq!(text, b"last words");
    assert!(matches!(pair.server_reads(), Ok(ReadOutcome::Eof)));
    assert_eq!(pair.server_writes(&[b"ours"]).count, 4, "it may still be told something");
    pair.session.close();
    pair.session.close();
    assert_eq!(pair.session.flush(&mut pair.stream), Ok(true));
    let mut seen = Vec::new();
    pair.until("the end comes", |pair| {
        pair.client_turn();
        pair.client.reader().read_to_end(&mut seen).ok()
    });
    assert_eq!(seen, b"ours");
}

#[test]
fn before_the_handshake_nothing_is_written() {
    let mut pair = Pair::new(BOTH);
    let written = pair.server_writes(&[b"too early"]);
    assert_eq!((written.count, written.blocked), (0, true));
    pair.session.close();
    assert!(pair.session.outgoing.is_empty());
}
