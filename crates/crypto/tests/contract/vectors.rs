//! Published vectors, by every driver that takes their keys.

use crate::contract::bytes::hex;
use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::{Algorithm, Choice, Direction, Iv, IvRule, Registry, Request, Skcipher};

/// Encrypts `plain` as one unit and decrypts it again.
fn check(algorithm: &str, key: &str, iv: &str, plain: &[u8], secret: &str) {
    let algorithm: Algorithm = algorithm.parse().unwrap();
    let (key, secret) = (hex(key), hex(secret));
    let mut first = Iv::default();
    let iv = hex(iv);
    first[..iv.len()].copy_from_slice(&iv);
    let mut served = 0;
    for name in ["portable", "aws-lc", "vaes512:bytes", "vaes512:shifts", "vaes256", "aesni"] {
        let Ok(skcipher) = Skcipher::new(Registry::global(), Choice::Named(name), algorithm, &key) else {
            continue;
        };
        served += 1;
        for (direction, given, wanted) in
            [(Direction::Encrypt, plain, &secret[..]), (Direction::Decrypt, &secret, plain)]
        {
            let mut data = given.to_vec();
            let mut spans = [SpanMut::new(&mut data)];
            let mut bytes = SpanIterMut::new(&mut spans);
            let (src, dst) = bytes.in_place();
            let iv = IvRule::Constant(first);
            skcipher.crypt(&mut Request { direction, src, dst, unit_size: given.len(), iv }).unwrap();
            assert_eq!(data, wanted, "{name} {direction:?} {algorithm} {} bytes of key", key.len());
        }
    }
    assert!(served > 0);
}

/// IEEE 1619-2007, annex B, vectors 1 to 3 (XTS-AES-128; the first has equal halves).
#[test]
fn ieee_1619_xts_aes_128() {
    check(
        "xts(aes)",
        &"00".repeat(32),
        "00",
        &[0; 32],
        "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e",
    );
    check(
        "xts(aes)",
        &("11".repeat(16) + &"22".repeat(16)),
        "3333333333",
        &[0x44; 32],
        "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0",
    );
    check(
        "xts(aes)",
        "fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0 22222222222222222222222222222222",
        "3333333333",
        &[0x44; 32],
        "af85336b597afc1a900b2eb21ec949d292df4c047e0b21532186a5971a227a89",
    );
}

/// IEEE 1619-2007, annex B, vector 10 (XTS-AES-256, a unit of 512 bytes, data unit number 0xff).
#[test]
fn ieee_1619_xts_aes_256() {
    let counting: Vec<u8> = (0..=255).chain(0..=255).collect();
    check(
        "xts(aes)",
        "2718281828459045235360287471352662497757247093699959574966967627
         3141592653589793238462643383279502884197169399375105820974944592",
        "ff",
        &counting,
        "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b
         5d31e276f8fe4a8d66b317f9ac683f44680a86ac35adfc3345befecb4bb188fd
         5776926c49a3095eb108fd1098baec70aaa66999a72a82f27d848b21d4a741b0
         c5cd4d5fff9dac89aeba122961d03a757123e9870f8acf1000020887891429ca
         2a3e7a7d7df7b10355165c8b9a6d0a7de8b062c4500dc4cd120c0f7418dae3d0
         b5781c34803fa75421c790dfe1de1834f280d7667b327f6c8cd7557e12ac3a0f
         93ec05c52e0493ef31a12d3d9260f79a289d6a379bc70c50841473d1a8cc81ec
         583e9645e07b8d9670655ba5bbcfecc6dc3966380ad8fecb17b6ba02469a020a
         84e18e8f84252070c13e9f1f289be54fbc481457778f616015e1327a02b140f1
         505eb309326d68378f8374595c849d84f4c333ec4423885143cb47bd71c5edae
         9be69a2ffeceb1bec9de244fbe15992b11b77c040f12bd8f6a975a44a0f90c29
         a9abc3d4d893927284c58754cce294529f8614dcd2aba991925fedc4ae74ffac
         6e333b93eb4aff0479da9a410e4450e0dd7ae4c6e2910900575da401fc07059f
         645e8b7e9bfdef33943054ff84011493c27b3429eaedb4ed5376441a77ed4385
         1ad77f16f541dfd269d50d6a5f14fb0aab1cbb4c1550be97f7ab4066193c4caa
         773dad38014bd2092fa755c824bb5e54c4f36ffda9fcea70b9c6e693e148c151",
    );
}

/// The keys of NIST SP 800-38A, appendix F.
const KEYS: [&str; 3] = [
    "2b7e151628aed2a6abf7158809cf4f3c",
    "8e73b0f7da0e6452c810f32b809079e562f8ead2522c6b7b",
    "603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4",
];

/// The plaintext of NIST SP 800-38A, appendix F.
const PLAIN: &str = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51
    30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

/// NIST SP 800-38A, F.2.
#[test]
fn nist_sp_800_38a_cbc() {
    let secrets = [
        "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2
         73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7",
        "4f021db243bc633d7178183a9fa071e8b4d9ada9ad7dedf4e5e738763f69145a
         571b242012fb7ae07fa9baac3df102e008b0e27988598881d920a9e64f5615cd",
        "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d
         39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b",
    ];
    for (key, secret) in KEYS.into_iter().zip(secrets) {
        check("cbc(aes)", key, "000102030405060708090a0b0c0d0e0f", &hex(PLAIN), secret);
    }
}

/// NIST SP 800-38A, F.1.
#[test]
fn nist_sp_800_38a_ecb() {
    let secrets = [
        "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf
         43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4",
        "bd334f1d6e45f25ff712a214571fa5cc974104846d0ad3ad7734ecb3ecee4eef
         ef7afd2270e2e60adce0ba2face6444e9a4b41ba738d6c72fb16691603c18e0e",
        "f3eed1bdb5d2a03c064b5a7e3db181f8591ccb10d410ed26dc5ba74a31362870
         b6ed21b99ca6f4f9f153e7b1beafed1d23304b7a39f9f3ff067d8d8f9e24ecc7",
    ];
    for (key, secret) in KEYS.into_iter().zip(secrets) {
        check("ecb(aes)", key, "", &hex(PLAIN), secret);
    }
}

/// NIST SP 800-38A, F.5.1, F.3.13 and F.4.1.
#[test]
fn nist_sp_800_38a_ctr_cfb_ofb() {
    let vectors = [
        (
            "ctr(aes)",
            "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff
             5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee",
        ),
        (
            "cfb(aes)",
            "000102030405060708090a0b0c0d0e0f",
            "3b3fd92eb72dad20333449f8e83cfb4ac8a64537a0b3a93fcde3cdad9f1ce58b
             26751f67a3cbb140b1808cf187a4f4dfc04b05357c5d1c0eeac4c66f9ff7f2e6",
        ),
        (
            "ofb(aes)",
            "000102030405060708090a0b0c0d0e0f",
            "3b3fd92eb72dad20333449f8e83cfb4a7789508d16918f03f53c52dac54ed825
             9740051e9c5fecf64344f7a82260edcc304c6528f659c77866a510d9c1d6ae5e",
        ),
    ];
    for (algorithm, iv, secret) in vectors {
        check(algorithm, KEYS[0], iv, &hex(PLAIN), secret);
    }
}

/// The first vector of IEEE P1619's drafts that had LRW.
#[test]
fn ieee_p1619_lrw_aes_128() {
    check(
        "lrw(aes)",
        "4562ac25f828176d4c268414b5680185258e2a05e73e9d03ee5a830ccc094c87",
        "00000000000000000000000000000001",
        b"0123456789ABCDEF",
        "f1b273cd65a3df5fe95d489254634eb8",
    );
}

/// RFC 8439, section 2.4.2: a unit that is not whole blocks of the stream.
#[test]
fn rfc_8439_chacha20() {
    check(
        "chacha20",
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "01000000 000000000000004a00000000",
        b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
          sunscreen would be it.",
        "6e2e359a2568f98041ba0728dd0d6981e97e7aec1d4360c20a27afccfd9fae0b
         f91b65c5524733ab8f593dabcd62b3571639d624e65152ab8f530c359f0861d8
         07ca0dbf500d6a6156a38e088a22b65e52bc514d16ccf806818ce91ab7793736
         5af90bbf74a35be6b40b8eedf2785e42874d",
    );
}
