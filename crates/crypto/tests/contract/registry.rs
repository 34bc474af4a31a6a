//! Which driver gets a key, and which is not used.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use udm_block::{SpanIterMut, SpanMut};
use udm_crypto::driver::{TakeKey, without_way};
use udm_crypto::offload::Faults;
use udm_crypto::waiting::crypt_waiting;
use udm_crypto::{
    Algorithm, Choice, Cipher, CryptError, Direction, Driver, DriverInfo, Iv, IvRule, KeyError, KeyedCipher,
    Listing, Mode, MultiUnit, Registry, Request, Skcipher, Speed, Standing, aes, portable,
};

const XTS: Algorithm = Algorithm::aes(Mode::Xts);

/// A driver of XTS, to be registered as the best.
pub fn driver(name: &'static str, multi_unit: MultiUnit, key: TakeKey) -> Driver {
    let info = DriverInfo {
        name,
        multi_unit,
        speed: Speed::Wide,
        priority: 1000,
        description: "a driver of a test",
        for_tests: true,
    };
    Driver { info, algorithm: XTS, lacking: None, key }
}

/// The portable driver's XTS with this key.
pub fn good(algorithm: Algorithm, key: &[u8]) -> Box<dyn KeyedCipher> {
    let driver = portable::drivers().find(|driver| driver.algorithm == algorithm).unwrap();
    (driver.key)(algorithm, key).unwrap()
}

/// The kernels for AES that this machine has the instructions for, the best first.
fn kernels() -> Vec<&'static str> {
    let mut able: Vec<_> = aes::drivers()
        .filter(|driver| driver.algorithm == XTS && driver.lacking.is_none())
        .map(|driver| (driver.info.priority, driver.info.name))
        .collect();
    able.sort_unstable_by(|a, b| b.cmp(a));
    able.into_iter().map(|(_, name)| name).collect()
}

/// A driver with a fault that its closure puts in.
struct Faulty<F>(Box<dyn KeyedCipher>, F);

impl<F> KeyedCipher for Faulty<F>
where
    F: Fn(&dyn KeyedCipher, &mut Request<'_>) -> Result<(), CryptError> + Send + Sync,
{
    fn crypt(&self, request: &mut Request<'_>) -> Result<(), CryptError> {
        (self.1)(self.0.as_ref(), request)
    }
}

/// Every kind of fault must be found: the twins of `a_good_driver_passes`.
#[test]
fn the_self_test_finds_broken_drivers() {
    let faults: [(&'static str, TakeKey); 8] = [
        ("flips-a-bit", |algorithm, key| {
            Ok(Box::new(Faulty(good(algorithm, key), |good: &dyn KeyedCipher, request: &mut Request<'_>| {
                good.crypt(request)?;
                let mut byte = [0];
                let mut last = request.dst.after(request.dst.len() - 1);
                last.as_iter().read(&mut byte);
                last.write(&[byte[0] ^ 0x80]);
                Ok(())
            })))
        }),
        ("writes-nothing", |_, _| {
            Ok(Box::new(Faulty(good(XTS, &[0; 32]), |_: &dyn KeyedCipher, _: &mut Request<'_>| Ok(()))))
        }),
        ("one-iv-for-all", |algorithm, key| {
            Ok(Box::new(Faulty(good(algorithm, key), |good: &dyn KeyedCipher, request: &mut Request<'_>| {
                good.crypt(&mut Request { iv: IvRule::Constant(request.iv.iv(0)), ..request.reborrow() })
            })))
        }),
        ("counts-at-the-wrong-end", |algorithm, key| {
            Ok(Box::new(Faulty(good(algorithm, key), |good: &dyn KeyedCipher, request: &mut Request<'_>| {
                let iv = match request.iv {
                    IvRule::CounterBe64 { first, stride } => IvRule::CounterLe64 { first, stride },
                    other => other,
                };
                good.crypt(&mut Request { iv, ..request.reborrow() })
            })))
        }),
        ("loses-the-tweak", |algorithm, key| {
            Ok(Box::new(Faulty(good(algorithm, key), |good: &dyn KeyedCipher, request: &mut Request<'_>| {
                let blocks = request.unit_size / 16;
                let ivs: Vec<Iv> =
                    (0..request.units() * blocks).map(|block| request.iv.iv(block / blocks)).collect();
                good.crypt(&mut Request { unit_size: 16, iv: IvRule::Vector(&ivs), ..request.reborrow() })
            })))
        }),
        ("fails", |algorithm, key| {
            Ok(Box::new(Faulty(good(algorithm, key), |_: &dyn KeyedCipher, _: &mut Request<'_>| {
                Err(CryptError::Failed)
            })))
        }),
        ("another-cipher", |algorithm, key| {
            Ok(good(Algorithm { cipher: Cipher::Camellia, ..algorithm }, key))
        }),
        ("takes-no-key", |_, _| Err("none is good enough")),
    ];
    let mut registry = Registry::new();
    for (name, key) in faults {
        registry.register(driver(name, MultiUnit::Native, key));
    }
    let key: Vec<u8> = (0..64).collect();
    for (name, _) in faults {
        let lines = registry.list();
        let line = lines.iter().find(|line| line.info.name == name).unwrap();
        assert!(
            matches!(line.standing, Standing::Failed(how) if !how.is_empty()),
            "{name}: {:?}",
            line.standing
        );
        let refused = Skcipher::new(&registry, Choice::Named(name), XTS, &key).unwrap_err();
        assert!(matches!(refused, KeyError::NotUsed { .. }), "{refused}");
    }
    let best = Skcipher::new(&registry, Choice::Best, XTS, &key).unwrap();
    assert_eq!(best.driver().name, kernels().first().copied().unwrap_or("aws-lc"));
}

/// Every algorithm has a driver that passed, and none failed that this machine can run. The twins are above.
#[test]
fn all_drivers_pass() {
    let lines = Registry::global().list();
    assert!(!lines.iter().any(|line| matches!(line.standing, Standing::Failed(_))));
    for algorithm in Algorithm::ALL {
        let able = |line: &&Listing<'_>| !matches!(line.standing, Standing::Lacking(_));
        let mut lines = lines.iter().filter(|line| line.algorithm == algorithm).filter(able);
        assert!(lines.clone().any(|line| line.info.name == "portable"), "{algorithm}");
        assert_eq!(lines.next().map(|line| line.standing), Some(Standing::First), "{algorithm}");
        for line in lines {
            match line.info.name {
                "threads" | "offload-sim" => assert_eq!(line.standing, Standing::ByName, "{algorithm}"),
                _ => assert!(matches!(line.standing, Standing::Behind(_)), "{algorithm}"),
            }
        }
    }
}

/// What no driver can do is refused with its name, though it can be written down.
#[test]
fn a_mode_that_does_not_take_a_cipher_has_no_driver() {
    let refused = |mode, cipher, key: usize| {
        let algorithm = Algorithm { mode, cipher };
        Skcipher::new(Registry::global(), Choice::Best, algorithm, &vec![0; key]).unwrap_err().to_string()
    };
    assert_eq!(
        refused(Mode::Xts, Cipher::Cast5, 32),
        "no driver does xts(cast5) here; `udm ciphers` lists those there are"
    );
    assert!(refused(Mode::Adiantum, Cipher::Aes, 32).contains("adiantum(aes)"));
    assert!(refused(Mode::Cbc, Cipher::CipherNull, 0).contains("cbc(cipher_null)"));
}

#[test]
fn a_good_driver_passes() {
    let mut registry = Registry::new();
    registry.register(driver("mine", MultiUnit::Native, |algorithm, key| Ok(good(algorithm, key))));
    let lacking = Driver {
        lacking: Some("an abacus"),
        ..driver("abacus", MultiUnit::Split, |_, _| panic!("was asked"))
    };
    registry.register(lacking);
    let standing: Vec<_> = registry
        .list()
        .iter()
        .filter(|line| line.algorithm == XTS)
        // Which kernels a machine cannot run differs.
        .filter(|line| line.info.name == "abacus" || !matches!(line.standing, Standing::Lacking(_)))
        .map(|line| (line.info.name, format!("{:?}", line.standing)))
        .collect();
    let mut expected = vec![("mine", "First".to_owned()), ("abacus", "Lacking(\"an abacus\")".to_owned())];
    let mut before = "mine";
    for name in kernels().into_iter().chain(["aws-lc", "portable"]) {
        expected.push((name, format!("Behind({before:?})")));
        before = name;
    }
    expected.extend(["threads", "offload-sim"].map(|name| (name, "ByName".to_owned())));
    assert_eq!(standing, expected);
}

#[test]
fn keys_go_to_the_best_driver_that_takes_them() {
    let registry = Registry::global();
    let name = |mode, key: &[u8]| {
        Skcipher::new(registry, Choice::Best, Algorithm::aes(mode), key).unwrap().driver().name
    };
    let key: Vec<u8> = (0..64).collect();
    let kernel = kernels().first().copied();
    assert_eq!(name(Mode::Xts, &key), kernel.unwrap_or("aws-lc"));
    assert_eq!(name(Mode::Xts, &key[..48]), kernel.unwrap_or("portable"));
    assert_eq!(name(Mode::Xts, &key[..32]), kernel.unwrap_or("portable"));
    assert_eq!(name(Mode::Xts, &[0; 64]), kernel.unwrap_or("portable"));
    // Other modes have no ways.
    let kernel = kernel.map(without_way);
    assert_eq!(name(Mode::Cbc, &key[..32]), kernel.unwrap_or("portable"));
    assert_eq!(name(Mode::Ecb, &key[..32]), kernel.unwrap_or("aws-lc"));
    assert_eq!(name(Mode::Lrw, &key[..32]), "portable");
    // A kernel that is asked for also makes the IVs of essiv.
    for kernel in kernels() {
        for mode in [Mode::Xts, Mode::Cbc, Mode::Ecb] {
            let taken =
                Skcipher::new(registry, Choice::Named(kernel), Algorithm::aes(mode), &key[..32]).unwrap();
            let wanted = if mode == Mode::Xts { kernel } else { without_way(kernel) };
            assert_eq!(taken.driver().name, wanted);
        }
    }
    let unknown = Skcipher::new(registry, Choice::Named("abacus"), XTS, &key).unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "no driver named abacus does xts(aes) here; `udm ciphers` lists those there are"
    );
}

/// A driver that is asked for without a way takes its first; one that is asked for with a way takes that, or what it has
/// where an algorithm has no ways. Bad twin: a way that no driver has.
#[test]
fn a_way_can_be_forced() {
    const CBC: Algorithm = Algorithm::aes(Mode::Cbc);
    let mut registry = Registry::default();
    for (name, priority) in [("mine:slow", 1000), ("mine:fast", 1001)] {
        let mut way = driver(name, MultiUnit::Native, |algorithm, key| Ok(good(algorithm, key)));
        way.info.priority = priority;
        registry.register(way);
    }
    let mine = driver("mine", MultiUnit::Native, |algorithm, key| Ok(good(algorithm, key)));
    registry.register(Driver { algorithm: CBC, ..mine });
    let key: Vec<u8> = (0..32).collect();
    let taken = |name, algorithm| {
        Skcipher::new(&registry, Choice::Named(name), algorithm, &key).map(|taken| taken.driver().name).ok()
    };
    assert_eq!(taken("mine", XTS), Some("mine:fast"));
    assert_eq!(taken("mine:fast", XTS), Some("mine:fast"));
    assert_eq!(taken("mine:slow", XTS), Some("mine:slow"));
    for name in ["mine", "mine:fast", "mine:slow"] {
        assert_eq!(taken(name, CBC), Some("mine"));
    }
    for algorithm in [XTS, CBC] {
        for name in ["mine:other", "mine:", "min", ":fast"] {
            assert_eq!(taken(name, algorithm), None, "{name}");
        }
    }
}

#[test]
fn key_errors_say_what_was_found_and_what_would_do() {
    let size = |mode, len| {
        Skcipher::new(Registry::global(), Choice::Best, Algorithm::aes(mode), &vec![0; len])
            .unwrap_err()
            .to_string()
    };
    assert_eq!(size(Mode::Xts, 31), "xts(aes) takes a key of 32, 48 or 64 bytes, and this one has 31");
    assert_eq!(size(Mode::Cbc, 0), "cbc(aes) takes a key of 16, 24 or 32 bytes, and this one has 0");
    assert_eq!(size(Mode::Ecb, 64), "ecb(aes) takes a key of 16, 24 or 32 bytes, and this one has 64");
    let size = |name: &str, len| {
        let algorithm = name.parse().unwrap();
        Skcipher::new(Registry::global(), Choice::Best, algorithm, &vec![0; len]).unwrap_err().to_string()
    };
    assert_eq!(
        size("cbc(cast5)", 4),
        "cbc(cast5) takes a key of 5, 6, 7, ... or 16 bytes, and this one has 4"
    );
    assert_eq!(
        size("xts(serpent)", 65),
        "xts(serpent) takes a key of 0, 2, 4, ... or 64 bytes, and this one has 65"
    );
    assert_eq!(size("cbc(des3_ede)", 16), "cbc(des3_ede) takes a key of 24 bytes, and this one has 16");
    assert_eq!(size("ecb(cipher_null)", 1), "ecb(cipher_null) takes a key of 0 bytes, and this one has 1");
}

/// Oracle: the whole text, which has no room for a key.
#[test]
fn debug_shows_no_key() {
    let key = [0xab; 64];
    for driver in kernels().into_iter().chain(["portable"]) {
        let skcipher = Skcipher::new(Registry::global(), Choice::Named(driver), XTS, &key).unwrap();
        let shown = format!("Skcipher {{ algorithm: xts(aes), driver: {driver:?}, .. }}");
        assert_eq!(format!("{skcipher:?}"), shown);
    }
}

/// Counts warnings that name the driver.
#[derive(Clone)]
struct Warnings(Arc<AtomicUsize>, &'static str);

impl Warnings {
    fn of(driver: &'static str) -> Self {
        Self(Arc::default(), driver)
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::WARN
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        struct Named<'a>(&'a Warnings);
        impl Visit for Named<'_> {
            fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
                if field.name() == "driver" && format!("{value:?}").contains(self.0.1) {
                    self.0.0.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        event.record(&mut Named(self));
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// A driver that claims to be native and refuses many units of 4096 bytes: served unit by unit, and said once, though
/// two keys meet it. Oracle: the portable driver's bytes.
#[test]
fn a_refused_unit_size_is_said_once_and_split() {
    let mut registry = Registry::new();
    registry.register(driver("refuses-4096", MultiUnit::Native, |algorithm, key| {
        Ok(Box::new(Faulty(good(algorithm, key), |good: &dyn KeyedCipher, request: &mut Request<'_>| {
            if request.unit_size == 4096 && request.units() > 1 {
                return Err(CryptError::UnitSizeRefused);
            }
            good.crypt(request)
        })))
    }));
    let warnings = Warnings::of("refuses-4096");
    tracing::subscriber::with_default(warnings.clone(), || {
        for key in [[1u8; 64], [2; 64]] {
            let skcipher = Skcipher::new(&registry, Choice::Best, XTS, &key).unwrap();
            assert_eq!((skcipher.driver().name, skcipher.is_split()), ("refuses-4096", false));
            right_bytes_split(&skcipher, &key, |request| skcipher.crypt(request));
        }
    });
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
}

/// The same of an asynchronous driver, and refuses jobs.
#[test]
fn a_unit_size_that_an_asynchronous_driver_refuses_is_said_once_and_split() {
    let (registry, choice) = (Registry::new(), Choice::Named("offload-sim"));
    let warnings = Warnings::of("offload-sim");
    let faults = Faults { refuses: Some(4096), ..Faults::NONE };
    tracing::subscriber::with_default(warnings.clone(), || {
        for key in [[1u8; 64], [2; 64]] {
            let skcipher = faults.with(|| Skcipher::new(&registry, choice, XTS, &key)).unwrap();
            assert_eq!((skcipher.driver().name, skcipher.is_split()), ("offload-sim", false));
            let bytes = skcipher.later().unwrap().bytes_per_unit;
            right_bytes_split(&skcipher, &key, |request| {
                crypt_waiting(&skcipher, request, SpanMut::new(&mut vec![0; 2 * bytes]))
            });
        }
    });
    assert_eq!(warnings.0.load(Ordering::Relaxed), 1);
}

/// Three requests by `crypt`, each with the portable driver's bytes, after which requests are split.
fn right_bytes_split(
    skcipher: &Skcipher,
    key: &[u8],
    crypt: impl Fn(&mut Request<'_>) -> Result<(), CryptError>,
) {
    for _ in 0..3 {
        let (mut got, mut wanted) = (vec![5; 8192], vec![5; 8192]);
        let by = |data: &mut [u8], crypt: &dyn Fn(&mut Request<'_>) -> Result<(), CryptError>| {
            let mut spans = [SpanMut::new(data)];
            let mut bytes = SpanIterMut::new(&mut spans);
            let (src, dst) = bytes.in_place();
            let iv = IvRule::CounterLe64 { first: Iv::default(), stride: 8 };
            let direction = Direction::Encrypt;
            crypt(&mut Request { direction, src, dst, unit_size: 4096, iv }).unwrap();
        };
        by(&mut got, &crypt);
        by(&mut wanted, &|request| good(XTS, key).crypt(request));
        assert!(got == wanted && skcipher.is_split());
    }
}
