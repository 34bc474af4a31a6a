//! What is read is written back as it was, and what is hostile is refused.

use super::*;

fn written(json: &Json) -> String {
    String::from_utf8(json.to_bytes()).unwrap()
}

#[test]
fn what_is_read_is_written_back_as_it_was() {
    for text in [
        &br#"{"z":[1,-2,1.5,"a\nb",null,true,{}],"a":{"k":"v","b":18446744073709551615}}"#[..],
        b"[1e5,1E+5,-0,0.10,1.,-1.0e-3,1e999,007,123456789012345678901234567890]",
        b"[NaN,Infinity,-Infinity,nan]",
        br#"["\u0041\/\ud83d\ude00","\ud800","\u0000","\u00E9","/"]"#,
        b"[\"\xff\xfe\",\"a\x01\tb\",\"\x7f\xc3\xa9\"]",
        b"{\"\xff\":1,\"\xfe\":2,\"z\":0,\"a\":0}",
        b"{}",
    ] {
        let json = Json::parse(text).unwrap_or_else(|why| panic!("{}: {why}", text.escape_ascii()));
        assert_eq!(json.to_bytes().escape_ascii().to_string(), text.escape_ascii().to_string());
        // For a program it is JSON all the same.
        let strict = json.to_strict();
        serde_json::from_str::<&serde_json::value::RawValue>(&strict)
            .unwrap_or_else(|why| panic!("{strict}: {why}"));
    }
    let spaced = Json::parse(b" { \"a\" :\t[ 1 ,\r\n2 ] } ").unwrap();
    assert_eq!(written(&spaced), r#"{"a":[1,2]}"#);
}

/// Oracle: Python's json, for what is UTF-8.
#[test]
fn strings_say_what_their_escapes_mean() {
    for (text, says) in [
        (&br#""\u00e4\/\ud83d\ude00""#[..], "\u{e4}/\u{1f600}"),
        (br#""\"\\\b\f\n\r\t""#, "\"\\\u{8}\u{c}\n\r\t"),
        (br#""\u0041x""#, "Ax"),
        (br#""\ud800x\udc00""#, "\u{fffd}x\u{fffd}"),
        (br#""\ud800\u0041""#, "\u{fffd}A"),
        (b"\"\xffx\"", "\u{fffd}x"),
    ] {
        let json = Json::parse(text).unwrap();
        assert_eq!(json.as_str().unwrap(), says, "{}", text.escape_ascii());
    }
    // Written and read, any text is the same.
    for text in ["", "\"\\/\u{8}\n\t\u{1}\u{7f}\u{e4}\u{1f600}", "plain"] {
        let json = Json::from(text);
        assert!(Json::parse(&json.to_bytes()).unwrap().is(text), "{text:?}");
        assert_eq!(serde_json::from_slice::<String>(&json.to_bytes()).unwrap(), text);
    }
}

#[test]
fn numbers_are_what_they_say() {
    let number = |text: &str| match Json::parse(text.as_bytes()) {
        Ok(Json::Number(number)) => number.as_u64(),
        other => panic!("{text}: {other:?}"),
    };
    assert_eq!(number("18446744073709551615"), Some(u64::MAX));
    assert_eq!(number("007"), Some(7));
    for text in ["18446744073709551616", "-1", "1.0", "1e5", "NaN"] {
        assert_eq!(number(text), None, "{text}");
    }
}

#[test]
fn what_is_changed_keeps_its_place_and_all_else() {
    let mut json = Json::parse(br#"{"z":1,"a":{"x":[]},"b":"c"}"#).unwrap();
    json.set("a", Json::references(&[0, 7]));
    json.set("new", Json::object([("n", 3.into()), ("long", Json::long(u64::MAX))]));
    assert_eq!(json.remove("z"), Some(1.into()));
    assert_eq!(json.remove("z"), None);
    let want = r#"{"a":["0","7"],"b":"c","new":{"n":3,"long":"18446744073709551615"}}"#;
    assert_eq!(written(&json), want);
}

#[test]
fn size_depth_and_doubles_are_bounded() {
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    assert!(Json::parse(deep(32).as_bytes()).is_ok());
    assert!(Json::parse(deep(33).as_bytes()).unwrap_err().contains("32 deep"));
    // Without our own bound, the stack would end this one.
    assert!(Json::parse(deep(1 << 20).as_bytes()).is_err());
    let many = format!("[{}0]", "0,".repeat(MAX_VALUES as usize));
    assert!(Json::parse(many.as_bytes()).unwrap_err().contains("more than 65536 values"));
    for twice in [r#"{"a":{"b":1,"b":1}}"#, r#"{"a":{"b":1,"\u0062":1}}"#] {
        assert!(Json::parse(twice.as_bytes()).unwrap_err().contains("\"b\" is there twice"), "{twice}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    for wrong in [
        "",
        "{",
        "{}x",
        "{\"a\":}",
        "nul",
        "{\"a\":1,}",
        "[1,]",
        "'a'",
        "+1",
        ".5",
        "-",
        "1e",
        "-NaN",
        "\"\\x41\"",
        "\"\\u00g0\"",
        "\"\\u00",
        "\"a",
        "\"\\",
        "/*c*/1",
        "{\"a\" 1}",
        "{a:1}",
        "[1 2]",
    ] {
        assert!(Json::parse(wrong.as_bytes()).is_err(), "{wrong}");
    }
    let told = Json::parse(b"{\"a\":1,\n \"b\":x}").unwrap_err();
    assert_eq!(told, "a value was expected, at line 2, column 6");
}
