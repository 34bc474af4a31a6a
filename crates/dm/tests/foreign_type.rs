//! A target type that this crate does not know: its rows are read, printed and built like all others, and its secrets are
//! hidden wherever those of crypt are.

use std::fmt;
use std::sync::Arc;

use crate::support;
use crate::support::{Shelf, heap};
use udm_block::blocking::Blocking;
use udm_block::{DeviceRef, Sector, Sectors};
use udm_dm::load::{LoadError, load};
use udm_dm::table::{
    ArgWriter, Args, Fault, KernelReason, Row, ShowKeys, Table, TableError, TableErrorKind, reason,
};
use udm_dm::targets::crypt::CipherChoice;
use udm_dm::targets::linear::Linear;
use udm_dm::targets::{BuildContext, DeviceArg, Target, TargetSpec, TargetType, TargetTypes};

/// `vault <password> <device> <start> <second password>`: a linear range behind two passwords.
struct VaultType;

/// A row of it. It does not look at whether keys are shown.
#[derive(PartialEq, Debug)]
struct Vault {
    passwords: [String; 2],
    device: DeviceArg,
}

const REFUSED: KernelReason = KernelReason { errno: 22, text: "Wrong password" };

impl TargetType for VaultType {
    fn name(&self) -> &'static str {
        "vault"
    }

    fn parse(&self, args: &Args<'_>) -> Result<Box<dyn TargetSpec>, TableError> {
        let [first, _, _, second] = args.words() else {
            let needs = "a vault row needs 4 words";
            return Err(args.wrong_count(needs, 4, "write <password> <device> <start> <password>", REFUSED));
        };
        let device = args.device(1, args.length, reason::DEVICE_START)?;
        Ok(Box::new(Vault { passwords: [first.to_string(), second.to_string()], device }))
    }

    fn secret_args(&self) -> &[usize] {
        &[0, 3]
    }
}

impl TargetSpec for Vault {
    fn target_type(&self) -> &dyn TargetType {
        &VaultType
    }

    fn devices(&self) -> &[DeviceArg] {
        std::slice::from_ref(&self.device)
    }

    fn write(&self, args: &mut ArgWriter<'_, '_>) -> fmt::Result {
        args.arg(&self.passwords[0])?;
        args.device(&self.device)?;
        args.arg(&self.passwords[1])
    }

    fn build(&self, cx: &BuildContext<'_>) -> Result<Box<dyn Target>, LoadError> {
        if self.passwords[1] == "wrong" {
            let fault = Fault::new(TableErrorKind::Key, "the password is wrong", "a password", "try another");
            return Err(cx.error_at(3, fault).into());
        }
        Ok(Box::new(Linear::new(cx.device(0), self.device.start)))
    }
}

fn types() -> TargetTypes {
    let mut types = TargetTypes::builtin().clone();
    types.register(Arc::new(VaultType));
    types
}

fn disk() -> DeviceRef {
    support::map("0 64 zero", &support::disk::Ram::new(1))
}

const ROW: &str = r"0 8 vault hush\ hush\#1 a\\b\ c 8 s3cret";

#[test]
fn a_row_is_read_printed_and_built() {
    let table = Table::parse_with(&types(), ROW).unwrap();
    assert_eq!(table.to_text(ShowKeys::Shown), format!("{ROW}\n"));
    let row = &table.rows[0];
    assert_eq!((row.target.name(), row.devices()[0].name.as_str()), ("vault", r"a\b c"));
    assert_eq!(row.target.downcast_ref::<Vault>().unwrap().passwords[0], "hush hush#1");
    let devices = [(r"a\b c", disk())];
    let device = load(&table, &Shelf(&devices), &CipherChoice::default(), &heap()).unwrap();
    let mut bytes = [1; 512];
    Blocking::new(device.into()).unwrap().read_at(0, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 512]);
}

#[test]
fn no_print_and_no_message_has_a_secret_of_it() {
    let table = Table::parse_with(&types(), ROW).unwrap();
    assert_eq!(table.to_text(ShowKeys::Hidden), "0 8 vault 00000000000 a\\\\b\\ c 8 000000\n");
    // The same of a row that was never read, and of where its words stand.
    let device = DeviceArg { name: "a".into(), start: Sector(0), word: 1 };
    let spec = Vault { passwords: ["hush".into(), "wrong".into()], device };
    let row = Row::new(Sector(0), Sectors(8), spec);
    assert_eq!(row.to_string(), "0 8 vault 0000 a 0 00000");
    let table = Table::new(vec![row]).unwrap();
    let built = load(&table, &Shelf(&[("a", disk())]), &CipherChoice::default(), &heap());
    let error = built.expect_err("a wrong password").to_string();
    assert_eq!(
        error,
        "table line 1, column 20: the password is wrong (found a password)\n  0 8 vault <key> a 0 <key>\n                      ^^^^^ try another"
    );
    // Where it is misspelt, and where another word is wrong.
    for row in
        ["0 8 vualt correct-horse-battery a 0 staple-staple-staple", "0 8 vault correct-horse a x staple"]
    {
        let error = Table::parse_with(&types(), row).expect_err(row).to_string();
        assert!(!error.contains("horse") && !error.contains("staple"), "{error}");
    }
    // The bad twin: without the type nobody knows that a short word is a secret.
    let error = Table::parse("0 8 vault s3cret a 0 s3cret").unwrap_err().to_string();
    assert!(error.contains("s3cret"), "{error}");
}
