//! Names of algorithms, there and back, and what is said of wrong ones.

use super::*;

#[test]
fn every_algorithm_is_parsed_from_what_it_prints() {
    for algorithm in Algorithm::ALL {
        assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
    }
    let mut names = Algorithm::ALL.map(|algorithm| algorithm.to_string());
    names.sort_unstable();
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "a name is there twice");
}

#[test]
fn a_wrong_name_is_told_what_there_is() {
    let error = |name: &str| name.parse::<Algorithm>().unwrap_err().to_string();
    assert_eq!(
        error("xts(aria)"),
        "udm does not have cipher \"aria\" yet: it has aes, serpent, twofish, camellia, cast6, cast5, des3_ede, blowfish, \
         xchacha12,aes, xchacha20,aes, chacha20, xchacha12, xchacha20 and cipher_null"
    );
    assert_eq!(
        error("hctr2(aes)"),
        "udm does not have cipher mode \"hctr2\" yet: it has xts, cbc, ecb, ctr, lrw, pcbc, cfb, ofb and adiantum"
    );
    assert_eq!(
        error("xts(cast5)"),
        "cipher mode \"xts\" does not take \"cast5\": use cast5 in cbc, ecb, ctr, pcbc, cfb or ofb"
    );
    assert_eq!(
        error("cbc(xchacha20)"),
        "cipher \"xchacha20\" is a stream cipher, and stands without a mode: write capi:xchacha20-plain64"
    );
    assert_eq!(
        error("adiantum(aes)"),
        "cipher mode \"adiantum\" does not take \"aes\": use aes in xts, cbc, ecb, ctr, lrw, pcbc, cfb or ofb"
    );
    assert_eq!(
        error("cipher_null"),
        "\"cipher_null\" is not a cipher with its mode: write capi:ecb(cipher_null)"
    );
    for name in ["", "()", "xts(aes", "xts()", "xts(aes))", "AES", "(aes)", "xts (aes)"] {
        error(name);
    }
}

#[test]
fn sizes_are_those_of_the_kernel() {
    let sizes = |name: &str| {
        let algorithm: Algorithm = name.parse().unwrap();
        let keys: Vec<_> = algorithm.key_sizes().collect();
        (keys, algorithm.iv_size(), algorithm.blocks().map(|blocks| blocks.to_string()))
    };
    let ecb = |name: &str| Some(format!("ecb({name})"));
    assert_eq!(sizes("xts(twofish)"), (vec![32, 48, 64], 16, ecb("twofish")));
    assert_eq!(sizes("lrw(cast6)"), (vec![32, 36, 40, 44, 48], 16, ecb("cast6")));
    assert_eq!(sizes("cbc(cast5)"), ((5..=16).collect(), 8, ecb("cast5")));
    assert_eq!(sizes("ctr(blowfish)"), ((4..=56).collect(), 8, ecb("blowfish")));
    assert_eq!(sizes("cbc(des3_ede)"), (vec![24], 8, ecb("des3_ede")));
    assert_eq!(sizes("cbc(serpent)"), ((0..=32).collect(), 16, ecb("serpent")));
    assert_eq!(sizes("ecb(cipher_null)"), (vec![0], 0, None));
    assert_eq!(sizes("adiantum(xchacha12,aes)"), (vec![32], 32, None));
    assert_eq!(sizes("chacha20"), (vec![32], 16, None));
}
