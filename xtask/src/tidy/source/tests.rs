//! What the reader of Rust files must tell apart.

use super::*;

fn words(text: &str) -> Vec<String> {
    Source::new("a.rs", text).tokens.into_iter().map(|token| token.text).collect()
}

#[test]
fn comments_strings_and_characters_hold_no_code() {
    assert_eq!(words("a // unsafe\nb /* unsafe /* unsafe */ unsafe */ c"), ["a", "b", "c"]);
    assert_eq!(words(r#"a "unsafe \" unsafe" b"#), ["a", "\"", "\"", "b"]);
    assert_eq!(words("a r#\"unsafe \" unsafe\"# b"), ["a", "\"", "\"", "b"]);
    assert_eq!(words("a br\"unsafe\\\" b"), ["a", "\"", "\"", "b"]);
    assert_eq!(words("a '\"' b '\\'' c '\\u{22}' d b'{' e"), ["a", "b", "c", "d", "b", "e"]);
}

#[test]
fn lifetimes_and_raw_names_are_code() {
    assert_eq!(words("&'a str"), ["&", "'", "a", "str"]);
    assert_eq!(words("<'a, 'b>"), ["<", "'", "a", ",", "'", "b", ">"]);
    assert_eq!(words("r#type"), ["r", "#", "type"]);
    assert_eq!(words("bar\"x\""), ["bar", "\"", "\""]);
}

#[test]
fn lines_stay_where_they_are() {
    let source = Source::new("a.rs", "/* one\ntwo */ fn f() {\n    \"three\n four\"\n}\n");
    assert_eq!(source.code.len(), source.lines.len());
    assert_eq!(source.functions(), [Function { name: "f".into(), lines: 1..5 }]);
    assert!(source.is_comment(0) && !source.is_comment(1));
}

#[test]
fn a_function_reaches_from_its_fn_to_its_brace() {
    let text =
        "fn a(x: fn(u8)) -> [u8; 2] {\n    let c = '}';\n}\n\ntrait T {\n    fn b();\n    fn c() {}\n}\n";
    let functions = Source::new("a.rs", text).functions();
    let expected = [Function { name: "a".into(), lines: 0..3 }, Function { name: "c".into(), lines: 6..7 }];
    assert_eq!(functions, expected);
}

#[test]
fn test_code_is_known() {
    let text = "fn a() {}\n#[cfg(test)]\n#[allow(dead_code)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
    let source = Source::new("src/a.rs", text);
    let in_tests: Vec<usize> = (0..source.lines.len()).filter(|&line| source.in_tests(line)).collect();
    assert_eq!(in_tests, [1, 2, 3, 4, 5]);
    assert!(Source::new("src/iv/tests.rs", "").in_tests(0));
    assert!(Source::new("tests/src/lib.rs", "").is_tests());
}

#[test]
fn code_that_is_built_without_tests_is_not_test_code() {
    for text in
        ["#[cfg(not(test))]\nmod a {}\n", "#[cfg(any(test, miri))]\nmod a {}\n", "#[test_case]\nmod a {}\n"]
    {
        assert!(!Source::new("src/a.rs", text).in_tests(1), "{text}");
    }
    assert!(!Source::new("src/attests.rs", "").is_tests());
}
