//! What CBC, PCBC, CFB and OFB do at each block of their chains.

use super::chained::{Chain, Link};
use super::width::Word;

/// `c = E(p ^ the c before)`: encryption in CBC, NIST SP 800-38A. Its decryption is in `cbc`.
pub(super) struct CbcEncrypt;

impl Link for CbcEncrypt {
    fn before<W: Word>(chain: W, plain: W) -> W {
        chain ^ plain
    }
    fn after<W: Word>(_: W, _: W, secret: W) -> (W, W) {
        (secret, secret)
    }
}

/// `c = E(p ^ the p before ^ the c before)`: the kernel's `crypto/pcbc.c`.
pub(super) struct Pcbc;
pub(super) struct PcbcEncrypt;
pub(super) struct PcbcDecrypt;

impl Chain for Pcbc {
    type Encrypt = PcbcEncrypt;
    type Decrypt = PcbcDecrypt;
    const BACKWARDS: bool = true;
}

impl Link for PcbcEncrypt {
    fn before<W: Word>(chain: W, plain: W) -> W {
        chain ^ plain
    }
    fn after<W: Word>(_: W, plain: W, secret: W) -> (W, W) {
        (secret, plain ^ secret)
    }
}

impl Link for PcbcDecrypt {
    fn before<W: Word>(_: W, secret: W) -> W {
        secret
    }
    fn after<W: Word>(chain: W, secret: W, passed: W) -> (W, W) {
        (chain ^ passed, chain ^ passed ^ secret)
    }
}

/// `c = p ^ E(the c before)`, NIST SP 800-38A.
pub(super) struct Cfb;
pub(super) struct CfbEncrypt;
pub(super) struct CfbDecrypt;

impl Chain for Cfb {
    type Encrypt = CfbEncrypt;
    type Decrypt = CfbDecrypt;
    const BACKWARDS: bool = false;
}

impl Link for CfbEncrypt {
    fn before<W: Word>(chain: W, _: W) -> W {
        chain
    }
    fn after<W: Word>(_: W, plain: W, passed: W) -> (W, W) {
        (plain ^ passed, plain ^ passed)
    }
}

impl Link for CfbDecrypt {
    fn before<W: Word>(chain: W, _: W) -> W {
        chain
    }
    fn after<W: Word>(_: W, secret: W, passed: W) -> (W, W) {
        (secret ^ passed, secret)
    }
}

/// `c = p ^ o` with `o = E(the o before)`, NIST SP 800-38A: both directions are one.
pub(super) struct Ofb;

impl Chain for Ofb {
    type Encrypt = Self;
    type Decrypt = Self;
    const BACKWARDS: bool = false;
}

impl Link for Ofb {
    fn before<W: Word>(chain: W, _: W) -> W {
        chain
    }
    fn after<W: Word>(_: W, given: W, passed: W) -> (W, W) {
        (given ^ passed, passed)
    }
}
