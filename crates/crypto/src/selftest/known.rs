//! Known answers: published ones of block ciphers, of which those of the modes follow, and of what has no block cipher.

use crate::algorithm::{Algorithm, Cipher, Mode};
use crate::request::{Iv, IvRule, WideIv};

/// What an algorithm makes of one unit.
pub(super) struct KnownAnswer {
    /// The key, which the algorithm takes.
    pub key: Vec<u8>,
    /// The unit's IV.
    pub iv: IvRule<'static>,
    /// The plaintext.
    pub plain: Vec<u8>,
    /// The ciphertext.
    pub secret: Vec<u8>,
}

/// A published block.
struct Block {
    key: &'static [u8],
    plain: &'static [u8],
    secret: &'static [u8],
}

/// The known answers of `algorithm`.
pub(super) fn answers(algorithm: Algorithm) -> Vec<KnownAnswer> {
    match (algorithm.mode, algorithm.cipher) {
        (Mode::Adiantum, Cipher::XChaCha12Aes) => vec![adiantum(&ADIANTUM_12)],
        (Mode::Adiantum, _) => vec![adiantum(&ADIANTUM_20)],
        (Mode::Stream, Cipher::ChaCha20) => vec![chacha20()],
        (Mode::Stream, Cipher::XChaCha20) => vec![xchacha20()],
        (mode, cipher) => blocks(cipher).iter().map(|block| in_mode(mode, block)).collect(),
    }
}

/// What a mode makes of one block, where `C = E(P)` is known.
fn in_mode(mode: Mode, block: &Block) -> KnownAnswer {
    let mut key = block.key.to_vec();
    let mut first = Iv::default();
    let (mut plain, mut secret) = (block.plain.to_vec(), block.secret.to_vec());
    match mode {
        // With equal keys and P as its IV the tweak is C, so that C ^ P encrypts to E(P) ^ C, which is zeros.
        Mode::Xts => {
            key.extend(block.key);
            first.copy_from_slice(block.plain);
            plain.iter_mut().zip(block.secret).for_each(|(byte, other)| *byte ^= other);
            secret.fill(0);
        }
        // The tweak of block 0 is zeros, whatever its key.
        Mode::Lrw => key.extend([0x5a; 16]),
        // What is added to P, or encrypted in its place and added to the result, is zeros.
        Mode::Cbc | Mode::Pcbc | Mode::Ctr | Mode::Cfb | Mode::Ofb => {
            first[..plain.len()].copy_from_slice(block.plain);
            plain.fill(0);
        }
        Mode::Ecb | Mode::Adiantum | Mode::Stream => {}
    }
    KnownAnswer { key, iv: IvRule::Constant(first), plain, secret }
}

/// The published blocks of a cipher.
const fn blocks(cipher: Cipher) -> &'static [Block] {
    match cipher {
        Cipher::Aes => &FIPS_197,
        Cipher::Serpent => &SERPENT,
        Cipher::Twofish => &TWOFISH,
        Cipher::Camellia => &RFC_3713,
        Cipher::Cast6 => &RFC_2612,
        Cipher::Cast5 => &RFC_2144,
        Cipher::Des3Ede => &SP_800_67,
        Cipher::Blowfish => &BLOWFISH,
        Cipher::CipherNull
        | Cipher::XChaCha12Aes
        | Cipher::XChaCha20Aes
        | Cipher::ChaCha20
        | Cipher::XChaCha12
        | Cipher::XChaCha20 => &[],
    }
}

/// A block of numbers in hex.
macro_rules! block {
    ($key:literal, $plain:literal, $secret:literal) => {
        Block {
            key: &const { bytes::<{ $key.len() / 2 }>($key) },
            plain: &const { bytes::<{ $plain.len() / 2 }>($plain) },
            secret: &const { bytes::<{ $secret.len() / 2 }>($secret) },
        }
    };
}

/// FIPS 197, appendix C.
const FIPS_197: [Block; 3] = [
    block!(
        "000102030405060708090a0b0c0d0e0f",
        "00112233445566778899aabbccddeeff",
        "69c4e0d86a7b0430d8cdb78070b4c55a"
    ),
    block!(
        "000102030405060708090a0b0c0d0e0f1011121314151617",
        "00112233445566778899aabbccddeeff",
        "dda97ca4864cdfe06eaf70a0ec0d7191"
    ),
    block!(
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "00112233445566778899aabbccddeeff",
        "8ea2b7ca516745bfeafc49904b496089"
    ),
];

/// The first of each key size in NESSIE's set 1, and the kernel's `testmgr.h` for no key at all.
const SERPENT: [Block; 4] = [
    block!("", "000102030405060708090a0b0c0d0e0f", "1207fcce9bd0d6476ae98fbed143a0e2"),
    block!(
        "80000000000000000000000000000000",
        "00000000000000000000000000000000",
        "264e5481eff42a4606abda06c0bfda3d"
    ),
    block!(
        "800000000000000000000000000000000000000000000000",
        "00000000000000000000000000000000",
        "9e274ead9b737bb21efcfca548602689"
    ),
    block!(
        "8000000000000000000000000000000000000000000000000000000000000000",
        "00000000000000000000000000000000",
        "a223aa1288463c0e2be38ebd825616c0"
    ),
];

/// The paper, appendix A.
const TWOFISH: [Block; 3] = [
    block!(
        "00000000000000000000000000000000",
        "00000000000000000000000000000000",
        "9f589f5cf6122c32b6bfec2f2ae8c35a"
    ),
    block!(
        "0123456789abcdeffedcba98765432100011223344556677",
        "00000000000000000000000000000000",
        "cfd1d2e5a9be9cdf501f13b892bd2248"
    ),
    block!(
        "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
        "00000000000000000000000000000000",
        "37527be0052334b89f0cfccae87cfa20"
    ),
];

/// RFC 3713, appendix A.
const RFC_3713: [Block; 3] = [
    block!(
        "0123456789abcdeffedcba9876543210",
        "0123456789abcdeffedcba9876543210",
        "67673138549669730857065648eabe43"
    ),
    block!(
        "0123456789abcdeffedcba98765432100011223344556677",
        "0123456789abcdeffedcba9876543210",
        "b4993401b3e996f84ee5cee7d79b09b9"
    ),
    block!(
        "0123456789abcdeffedcba987654321000112233445566778899aabbccddeeff",
        "0123456789abcdeffedcba9876543210",
        "9acc237dff16d76c20ef7c919e3a7509"
    ),
];

/// RFC 2612, appendix A.
const RFC_2612: [Block; 3] = [
    block!(
        "2342bb9efa38542c0af75647f29f615d",
        "00000000000000000000000000000000",
        "c842a08972b43d20836c91d1b7530f6b"
    ),
    block!(
        "2342bb9efa38542cbed0ac83940ac298bac77a7717942863",
        "00000000000000000000000000000000",
        "1b386c0210dcadcbdd0e41aa08a7a7e8"
    ),
    block!(
        "2342bb9efa38542cbed0ac83940ac2988d7c47ce264908461cc1b5137ae6b604",
        "00000000000000000000000000000000",
        "4f6a2038286897b9c9870136553317fa"
    ),
];

/// RFC 2144, appendix B.1.
const RFC_2144: [Block; 3] = [
    block!("0123456712345678234567893456789a", "0123456789abcdef", "238b4fe5847e44b2"),
    block!("01234567123456782345", "0123456789abcdef", "eb6a711a2c02271b"),
    block!("0123456712", "0123456789abcdef", "7ac816d16e9b302e"),
];

/// NIST SP 800-67, appendix B.1, its first block.
const SP_800_67: [Block; 1] =
    [block!("0123456789abcdef23456789abcdef01456789abcdef0123", "5468652071756663", "a826fd8ce53b855f")];

/// Eric Young's vectors, which Blowfish's author publishes.
const BLOWFISH: [Block; 2] = [
    block!("0123456789abcdef", "1111111111111111", "61f9c3802281b096"),
    block!("f0e1d2c3b4a5968778695a4b3c2d1e0f0011223344556677", "fedcba9876543210", "05044b62fa52d080"),
];

/// RFC 8439, section 2.3.2: the stream itself.
fn chacha20() -> KnownAnswer {
    KnownAnswer {
        key: (0..32).collect(),
        iv: IvRule::Constant(bytes("01000000000000090000004a00000000")),
        plain: vec![0; 64],
        secret: bytes::<64>(
            "10f1e7e4d13b5915500fdd1fa32071c4c7d1f4c733c068030422aa9ac3d46c4e\
             d2826446079faa0914c2d705d98b02a2b5129cd1de164eb9cbd083e8a2503c4e",
        )
        .into(),
    }
}

/// libsodium's test of `XChaCha20`: the stream itself.
fn xchacha20() -> KnownAnswer {
    const NONCE: [WideIv; 1] = [bytes("b33ffd3096479bcfbc9aee49417688a0a2554f8d953894190000000000000000")];
    KnownAnswer {
        key: bytes::<32>("79c99798ac67300bbb2704c95c341e3245f3dcb21761b98e52ff45b24f304fc4").into(),
        iv: IvRule::WideVector(&NONCE),
        plain: vec![0; 29],
        secret: bytes::<29>("c6e9758160083ac604ef90e712ce6e75d7797590744e0cf060f013739c").into(),
    }
}

/// Of Google's vectors for Adiantum, the first with a tweak of 32 bytes and a message of 128.
fn adiantum(secret: &[u8; 128]) -> KnownAnswer {
    const TWEAK: [WideIv; 1] = [bytes("a1ba4995ff346db8cd875d5efdea85db8a7b5eb25d57dd62aca98c41429475b7")];
    KnownAnswer {
        key: bytes::<32>("a52824341a3cd8f705918fee851f357f803dfc9b94f6fc9e190900a904314f11").into(),
        iv: IvRule::WideVector(&TWEAK),
        plain: bytes::<128>(
            "69b4e88c37e86782f1ec5d04e5149113dff2871b69811d71709e9c3bde497011\
             a0a3db0d544f6669d7db80a7709268ce81042cc6abaee56015e96fefaa8fa7a7\
             638ff2f077f1a8eae1b71f9eab9e4b3f07875b6fcda8afb9fa700b52b8a8a79e\
             075fa60eb39b791379c33e8d1c2c68c8511d3c7b7d79772a5665c5542328b003",
        )
        .into(),
        secret: secret.to_vec(),
    }
}

const ADIANTUM_12: [u8; 128] = bytes(
    "9e16abed4ba7425ac6fb4e76ffbe03a00fe3adbae4982b0e2148a0b865482748\
     845454b29a947be64b29e9cf0591801a3af34196851d9f74515663fa7c288549\
     f72ff9f21846f53380a33cceb25793f5aebda9f57b30c49366e0307716e4a031\
     ba70bc6813f5b09ac1fc7efe55805c4874a6aaa3acdcc2f58dde34867860758d",
);

const ADIANTUM_20: [u8; 128] = bytes(
    "b18ba00577a84d591b8e21fc3a49fad4eb36f3c4dfdcae67073f700ee966f50c\
     304d66c9a42f739c13c84944cc0a909d7cdd193fea728d58abe7092cecb544d2\
     caa62d7a5c9c2b15ec2aa66991f9f313f772c1c140d5e194f429a13e2502a83e\
     94c19114a114cbbe674cb938fea7aa3229620db2f63c5857c1d55abbd6a62ae5",
);

/// The bytes of a number in hex, in lower case.
const fn bytes<const N: usize>(hex: &str) -> [u8; N] {
    const fn digit(letter: u8) -> u8 {
        match letter {
            b'0'..=b'9' => letter - b'0',
            b'a'..=b'f' => letter - b'a' + 10,
            _ => panic!("a known answer has a letter that is no digit"),
        }
    }
    let hex = hex.as_bytes();
    assert!(hex.len() == 2 * N, "a known answer has another length");
    let mut bytes = [0; N];
    let mut at = 0;
    while at < N {
        bytes[at] = digit(hex[2 * at]) << 4 | digit(hex[2 * at + 1]);
        at += 1;
    }
    bytes
}
