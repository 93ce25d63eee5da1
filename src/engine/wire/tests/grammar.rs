//! Texts on both sides of the grammar's edges, in the manner of JSONTestSuite. Values stand alone
//! here; that a message is an object is the envelope's rule.

use crate::engine::wire::{FaultKind, Scanner};

const DEPTH: usize = 16;

#[test]
fn texts_within_the_grammar_pass() {
    for text in [
        // Numbers.
        "0",
        "-0",
        "-1",
        "10",
        "123456789012345678901234567890",
        "0.0",
        "-0.5",
        "1.25",
        "0e1",
        "0e+1",
        "0E-1",
        "1e1",
        "1E22",
        "1.5e-300",
        "1e99999",
        "-1e-99999",
        "[-0]",
        // Words.
        "true",
        "false",
        "null",
        // Strings.
        "\"\"",
        "\"a\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
        "\"\\u0000\\u001f\\u0022\"",
        "\"\\uABCD\\uabcd\"",
        "\"\\uD834\\uDD1E\"",
        "\"\\udbff\\udfff\"",
        "\"\\\\u0041\"",
        "\"\u{7f}\u{80}\u{2028}\u{2029}\u{feff}\u{ffff}\u{10ffff}\"",
        "\"'\"",
        "\"/* no comment */\"",
        "\"a 32 byte and longer string without any escape in it, é\"",
        // Structures.
        "[]",
        "{}",
        "[[]]",
        "[{}]",
        "{\"a\":[]}",
        "[1,null,\"a\",true,{\"b\":false}]",
        "{\"\":0}",
        "{\"a\":{\"a\":{\"a\":0}}}",
        "[{\"a\":0},{\"a\":0}]",
        "{\"a\":0,\"A\":0,\"a \":0,\"é\":0,\"e\u{301}\":0}",
        // White space.
        " 1 ",
        "\t\r\n [ \t1\r,\n2 ] \n",
        "{ \"a\" : 1 , \"b\" : 2 }",
        " {\n} ",
        "[ ]",
    ] {
        assert_eq!(Scanner::default().scan_value(text, DEPTH), Ok(()), "{text}");
        let object = format!("{{\"data\":{text}}}");
        assert_eq!(Scanner::default().scan(&object, DEPTH), Ok(()), "{object}");
    }
}

#[test]
fn texts_outside_the_grammar_are_refused() {
    for text in [
        "",
        " ",
        // Numbers.
        "-",
        "+1",
        "01",
        "-01",
        "00",
        "1.",
        ".1",
        "-.1",
        "0.",
        "1..2",
        "1.e1",
        "1e",
        "1e+",
        "1E-",
        "1e1.5",
        "1e1e1",
        "0x1",
        "1_000",
        "1 000",
        "--1",
        "-a",
        "-Infinity",
        "Infinity",
        "NaN",
        "nan",
        "1f",
        "1-2",
        "\u{661}",
        "\u{ff11}",
        // Words.
        "t",
        "tru",
        "truee",
        "True",
        "TRUE",
        "nul",
        "nulll",
        "fals",
        "undefined",
        "truefalse",
        // Strings.
        "\"",
        "\"a",
        "a\"",
        "'a'",
        "`a`",
        "\"\\",
        "\"\\\"",
        "\"\\x41\"",
        "\"\\a\"",
        "\"\\'\"",
        "\"\\0\"",
        "\"\\ \"",
        "\"\\é\"",
        "\"\\u\"",
        "\"\\u0\"",
        "\"\\u004\"",
        "\"\\u004g\"",
        "\"\\u+041\"",
        "\"\\U0041\"",
        "\"\\uD834\\u00\"",
        "\"\n\"",
        "\"\t\"",
        "\"\0\"",
        "\"\u{1f}\"",
        "\"twenty seven characters or so and then\u{1}\"",
        "\"a\"\"b\"",
        "\"a\"b",
        // Arrays.
        "[",
        "]",
        "[1",
        "[1,",
        "[1,]",
        "[,]",
        "[,1]",
        "[1,,2]",
        "[1 2]",
        "[1:2]",
        "[1]]",
        "[[1]",
        "[1}",
        "[\"a\",\n4\n,1,",
        "[*]",
        "[1;2]",
        // Objects.
        "{",
        "}",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":1,",
        "{\"a\":1,}",
        "{,}",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\" 1}",
        "{\"a\"::1}",
        "{\"a\",1}",
        "{\"a\":1 \"b\":2}",
        "{\"a\":1,,\"b\":2}",
        "{:1}",
        "{a:1}",
        "{'a':1}",
        "{1:1}",
        "{null:1}",
        "{[]:1}",
        "{\"a\":1}}",
        "{\"a\":1]",
        "{\"a\":1}#",
        "{\"a\":1}{}",
        "{\"a\":/**/1}",
        "{\"a\":1}//",
        "{\"\\x\":1}",
        "{\"a\n\":1}",
        // White space and marks that are none.
        "\u{feff}{}",
        "{}\u{feff}",
        "\u{a0}1",
        "[\u{b}1]",
        "[\u{c}1]",
        "1\0",
        "{}\0",
        "\u{2060}{}",
        "{}\u{3000}",
        "# {}",
    ] {
        let fault = Scanner::default().scan_value(text, DEPTH).unwrap_err();
        assert!(matches!(fault.kind, FaultKind::Syntax(_)), "{text}: {fault}");
        assert!(fault.at <= text.len(), "{text}: {fault}");
        let object = format!("{{\"data\":{text}}}");
        // What ends the object early is a fault behind it.
        assert!(Scanner::default().scan(&object, DEPTH).is_err(), "{object}");
    }
}

#[test]
fn half_a_surrogate_pair_is_refused_in_values_and_keys() {
    for half in ["\\uD834", "\\uDD1E", "\\uDD1E\\uD834", "\\uD834\\uD834", "\\uD834x", "\\uD834\\n", "x\\uDBFFy"] {
        for text in [format!("\"{half}\""), format!("[{{\"{half}\":0}}]")] {
            let fault = Scanner::default().scan_value(&text, DEPTH).unwrap_err();
            assert_eq!(fault.kind, FaultKind::LoneSurrogate, "{text}");
            assert!(text[fault.at..].starts_with("\\u"), "{text}: {fault}");
        }
    }
}

#[test]
fn a_fault_says_where_it_shows() {
    for (text, kind, at) in [
        ("", FaultKind::Syntax("the text ends too early"), 0),
        ("{\"a\":01}", FaultKind::Syntax("neither `,` nor `}` after a member"), 6),
        ("{\"a\":tru}", FaultKind::Syntax("a word that JSON does not have"), 5),
        ("{\"a\":1.}", FaultKind::Syntax("a number without the digit that belongs here"), 7),
        ("{\"a\":\"b\tc\"}", FaultKind::Syntax("a control character in a string"), 7),
        ("{\"a\":\"\\q\"}", FaultKind::Syntax("an escape that JSON does not have"), 6),
        ("{\"a\":[1 2]}", FaultKind::Syntax("neither `,` nor `]` after an element"), 8),
        ("{\"a\":}", FaultKind::Syntax("a value is missing"), 5),
        ("{\"a\" 1}", FaultKind::Syntax("no `:` after a key"), 5),
        ("{\"a\":1,}", FaultKind::Syntax("a key is missing"), 7),
        ("{} x", FaultKind::Syntax("something after the end of the value"), 3),
        ("{\"a\":\"", FaultKind::Syntax("the text ends too early"), 6),
        (" [1]", FaultKind::NotObject, 1),
        ("\"{}\"", FaultKind::NotObject, 0),
        ("5", FaultKind::NotObject, 0),
        ("null", FaultKind::NotObject, 0),
        ("test_message", FaultKind::NotObject, 0),
        ("{\"a\":1,\"b\":2,\"a\":3}", FaultKind::DuplicateKey, 14),
    ] {
        let fault = Scanner::default().scan(text, DEPTH).unwrap_err();
        assert_eq!((fault.kind, fault.at), (kind, at), "{text}");
    }
}
