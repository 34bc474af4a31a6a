//! LUKS2 metadata that are wrong on purpose, each by one change to those of luks2-argon2id-32m.

use udm_luks::ErrorClass;

/// A text of the metadata, what it is replaced by, the field that is then wrong, and whose fault that is. In the
/// texts, a quotation mark is written `'`.
pub type Row = (&'static str, &'static str, &'static str, ErrorClass);

pub const HEADER: ErrorClass = ErrorClass::Header;
pub const HOSTILE: ErrorClass = ErrorClass::Hostile;
pub const UNSUPPORTED: ErrorClass = ErrorClass::Unsupported;

/// Changes to luks2-argon2id-32m: one key slot of Argon2id at 32768, and data at 1 MiB.
#[rustfmt::skip]
pub const ARGON2: &[Row] = &[
    // Costs.
    ("'memory':32768", "'memory':4294967295", "keyslots.0.kdf.memory", HOSTILE),
    ("'memory':32768", "'memory':4194305", "keyslots.0.kdf.memory", HOSTILE),
    ("'memory':32768", "'memory':4398046511104", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':-1", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':0", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':7", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':'32768'", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':3.5", "keyslots.0.kdf.memory", HEADER),
    ("'memory':32768", "'memory':1e300", "keyslots.0.kdf.memory", HEADER),
    ("'time':4", "'time':4294967295", "keyslots.0.kdf.time", HOSTILE),
    ("'time':4", "'time':4294967296", "keyslots.0.kdf.time", HEADER),
    ("'time':4", "'time':0", "keyslots.0.kdf.time", HEADER),
    ("'cpus':1", "'cpus':0", "keyslots.0.kdf.cpus", HEADER),
    ("'cpus':1", "'cpus':4096", "keyslots.0.kdf.cpus", HOSTILE),
    ("'cpus':1", "'cpus':8192", "keyslots.0.kdf.memory", HEADER),
    ("'cpus':1", "'cpus':4294967295", "keyslots.0.kdf.cpus", HEADER),
    ("'type':'argon2id'", "'type':'argon2d'", "keyslots.0.kdf.type", UNSUPPORTED),
    ("'type':'argon2id'", "'kind':'argon2id'", "keyslots.0.kdf.type", HEADER),
    ("'iterations':1000", "'iterations':4294967295", "digests.0.iterations", HOSTILE),
    ("'iterations':1000", "'iterations':0", "digests.0.iterations", HEADER),
    // Areas.
    ("'offset':'32768'", "'offset':'0'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'28672'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'32769'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'-32768'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':' 32768'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'032768'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'0x8000'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':32768", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'18446744073709547520'", "keyslots.0.area.offset", HEADER),
    ("'offset':'32768'", "'offset':'99999999999999999999999'", "keyslots.0.area.offset", HEADER),
    ("'size':'258048'", "'size':'18446744073709547520'", "keyslots.0.area.size", HEADER),
    ("'size':'258048'", "'size':'0'", "keyslots.0.area.size", HEADER),
    ("'size':'258048'", "'size':'4096'", "keyslots.0.area.size", HEADER),
    ("'stripes':4000", "'stripes':65536", "keyslots.0.area.size", HEADER),
    ("'stripes':4000", "'stripes':4294967295", "keyslots.0.af.stripes", HEADER),
    ("'stripes':4000", "'stripes':0", "keyslots.0.af.stripes", HEADER),
    ("'type':'raw'", "'type':'cooked'", "keyslots.0.area.type", UNSUPPORTED),
    ("'af':{'type':'luks1'", "'af':{'type':'luks9'", "keyslots.0.af.type", UNSUPPORTED),
    ("'hash':'sha256'},'area'", "'hash':'sha0'},'area'", "keyslots.0.af.hash", UNSUPPORTED),
    // Segments.
    ("'sector_size':512", "'sector_size':513", "segments.0.sector_size", HEADER),
    ("'sector_size':512", "'sector_size':8192", "segments.0.sector_size", HEADER),
    ("'sector_size':512", "'sector_size':0", "segments.0.sector_size", HEADER),
    ("'size':'dynamic'", "'size':'0'", "segments.0.size", HEADER),
    ("'size':'dynamic'", "'size':'1000'", "segments.0.size", HEADER),
    ("'size':'dynamic'", "'size':'18446744073709551104'", "segments.0.offset", HEADER),
    ("'iv_tweak':'0'", "'iv_tweak':'-1'", "segments.0.iv_tweak", HEADER),
    ("'iv_tweak':'0'", "'iv_tweak':'18446744073709551616'", "segments.0.iv_tweak", HEADER),
    ("'type':'crypt'", "'type':'linear'", "segments.0.type", UNSUPPORTED),
    ("'type':'crypt'", "'flags':['in-reencryption'],'type':'crypt'", "segments.0.flags", UNSUPPORTED),
    ("'type':'crypt'", "'integrity':{'type':'aead'},'type':'crypt'", "segments.0.integrity.type", UNSUPPORTED),
    ("'offset':'524288'", "'offset':'0'", "segments.0.offset", ErrorClass::Request),
    ("'offset':'524288'", "'offset':'290816'", "segments.0.offset", HEADER),
    ("'offset':'524288'", "'offset':'524289'", "segments.0.offset", HEADER),
    ("'offset':'524288'", "'offset':'9223372036854775296'", "segments.0.offset", HEADER),
    ("aes-xts-plain64','key_size':64},'kdf'", "aes-xts-plain46','key_size':64},'kdf'", "keyslots.0.area.encryption", UNSUPPORTED),
    ("aes-xts-plain64','key_size':64},'kdf'", "aes-xts-plain64','key_size':4096},'kdf'", "keyslots.0.area.encryption", HEADER),
    ("aes-xts-plain64','sector_size'", "cipher_null-ecb','sector_size'", "cipher", UNSUPPORTED),
    // References.
    ("'keyslots':['0']", "'keyslots':['1']", "digests.0.keyslots.0", HEADER),
    ("'keyslots':['0']", "'keyslots':[0]", "digests.0.keyslots.0", HEADER),
    ("'keyslots':['0']", "'keyslots':'0'", "digests.0.keyslots", HEADER),
    ("'segments':['0']", "'segments':['7']", "digests.0.segments.0", HEADER),
    ("'tokens':{}", "'tokens':{'0':{'type':'t','keyslots':['5']}}", "tokens.0.keyslots.0", HEADER),
    ("'tokens':{}", "'tokens':{'32':{'type':'t','keyslots':[]}}", "tokens", HEADER),
    ("'tokens':{}", "'tokens':{'x':{'type':'t','keyslots':[]}}", "tokens", HEADER),
    ("'tokens':{}", "'tokens':[]", "tokens", HEADER),
    ("'tokens':{}", "'tokans':{}", "tokens", HEADER),
    // Config.
    ("'json_size':'12288'", "'json_size':'12287'", "config.json_size", HEADER),
    ("'keyslots_size':'", "'keyslots_size':'9", "config.keyslots_size", HEADER),
    ("'config':{", "'config':{'requirements':{'mandatory':['quantum']},", "config.requirements.mandatory.0", UNSUPPORTED),
    ("'config':{", "'config':{'requirements':{'mandatory':'quantum'},", "config.requirements.mandatory", HEADER),
    ("'config':{", "'config':{'flags':[7],", "config.flags.0", HEADER),
    // The JSON itself.
    ("'tokens':{}", "'tokens':{},'tokens':{}", "JSON area", HEADER),
    ("'tokens':{}", "'tokens':{},", "JSON area", HEADER),
    ("'key_size':64,'af'", "'key_size':64,'key_size':64,'af'", "JSON area", HEADER),
    ("'key_size':64,'af'", "'key_size':0,'af'", "keyslots.0.key_size", HEADER),
    ("'key_size':64,'af'", "'key_size':4097,'af'", "keyslots.0.key_size", HEADER),
];
