//! Programs that others wrote judge a served volume: qemu-img, qemu-io, nbdcopy, nbdinfo, fio, mke2fs and e2fsck.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use udm_tests::fio::NO_STATE_FILE;
use udm_tests::judge::{judge, try_judge};
use udm_tests::mutate::SplitMix64;
use udm_tests::program::Served;
use udm_tests::volume::{Volume, noise};

const SIZE: usize = 96 << 20;

#[test]
fn nbdcopy_copies_in_and_out_with_four_connections() {
    let volume = Volume::xts(SIZE as u64, 1);
    let served = Served::table(&volume.table);
    let (plain, back) = (volume.path("plain"), volume.path("back"));
    fs::write(&plain, noise(2, SIZE)).unwrap();
    let four = ["--connections=4", "--requests=16", "--flush"].map(str::to_owned);
    judge("nbdcopy", four.iter().cloned().chain([plain.display().to_string(), served.uri().into()]));
    judge("nbdcopy", four.iter().cloned().chain([served.uri().into(), back.display().to_string()]));
    assert!(fs::read(&plain).unwrap() == fs::read(&back).unwrap(), "what came out is not what went in");
    assert!(fs::read(&volume.image).unwrap() != fs::read(&plain).unwrap(), "the image holds plaintext");
}

#[test]
fn qemu_img_converts_and_compares_and_sees_a_difference() {
    let volume = Volume::new(SIZE as u64, "aes-cbc-essiv:sha256", 32, "", 3);
    let served = Served::table(&volume.table);
    let plain = volume.path("plain");
    fs::write(&plain, noise(4, SIZE)).unwrap();
    let plain = plain.to_str().unwrap();
    judge("qemu-img", ["convert", "-n", "-f", "raw", "-O", "raw", "-W", "-m", "8", plain, served.uri()]);
    judge("qemu-img", ["compare", "-f", "raw", "-F", "raw", plain, served.uri()]);
    judge("qemu-io", ["-f", "raw", "-c", "write -P 0xa5 1M 4k", "-c", "flush", served.uri()]);
    judge("qemu-io", ["-f", "raw", "-c", "read -P 0xa5 1M 4k", served.uri()]);
    let differs = try_judge("qemu-img", ["compare", "-f", "raw", "-F", "raw", plain, served.uri()]);
    assert_eq!(differs.status.code(), Some(1), "a changed block goes unseen: {differs:?}");
    judge("qemu-io", ["-f", "raw", "-c", "write -z 2M 1M", "-c", "read -P 0 2M 1M", served.uri()]);
}

#[test]
fn nbdinfo_reads_what_the_export_offers() {
    let volume = Volume::new(SIZE as u64, "aes-xts-plain64", 64, "2 sector_size:4096 allow_discards", 5);
    let served = Served::table(&volume.table);
    let told: Value = serde_json::from_str(&judge("nbdinfo", ["--json", served.uri()])).unwrap();
    let export = &told["exports"][0];
    assert_eq!(told["protocol"], "newstyle-fixed", "{told}");
    for (name, want) in [
        ("export-name", Value::from("volume")),
        ("export-size", SIZE.into()),
        ("is_read_only", false.into()),
        ("can_flush", true.into()),
        ("can_fua", true.into()),
        ("can_multi_conn", true.into()),
        ("can_trim", true.into()),
        ("can_zero", true.into()),
        ("block_size_minimum", 1.into()),
        ("block_size_maximum", (4 << 20).into()),
    ] {
        assert_eq!(export[name], want, "{name} in {export}");
    }
    let listed = judge("nbdinfo", ["--list", served.uri()]);
    assert!(listed.contains("export=\"volume\""), "{listed}");
}

#[test]
fn fio_verifies_two_gibibytes_of_random_reads_and_writes() {
    let volume = Volume::xts(512 << 20, 6);
    let served = Served::table(&volume.table);
    let mut total = 0;
    for (block, io_mib) in
        [("bs=512", 32), ("bs=4k", 256), ("bsrange=512-256k", 512), ("bs=64k", 512), ("bs=1m", 736)]
    {
        let job = [
            "--name=udm".to_owned(),
            "--ioengine=nbd".into(),
            format!("--uri={}", served.uri()),
            "--rw=randrw".into(),
            format!("--{block}"),
            "--iodepth=32".into(),
            "--size=512m".into(),
            format!("--io_size={io_mib}m"),
            "--verify=crc32c".into(),
            "--verify_fatal=1".into(),
            "--randseed=7".into(),
            NO_STATE_FILE.into(),
            "--output-format=json".into(),
        ];
        let told = judge("fio", job);
        let told: Value = serde_json::from_str(&told[told.find('{').expect("JSON")..]).unwrap();
        let job = &told["jobs"][0];
        assert_eq!(job["error"], 0, "{job}");
        let bytes = |way: &str| job[way]["io_bytes"].as_u64().unwrap();
        total += bytes("read") + bytes("write");
        println!("fio {block}: {} MiB read, {} MiB written", bytes("read") >> 20, bytes("write") >> 20);
    }
    println!("fio: {} MiB in all, every block verified", total >> 20);
    assert!(total >= 2 << 30, "only {total} bytes");
}

/// Makes a tree of `count` files of many sizes, with folders, links and modes.
fn make_tree(root: &Path, count: usize) {
    let mut random = SplitMix64::new(8);
    for index in 0..count {
        let folder = root.join(format!("folder-{}", index % 97));
        fs::create_dir_all(&folder).unwrap();
        let len = random.below([20, 3000, 9000, 60_000][index % 4]);
        fs::write(folder.join(format!("file-{index}")), noise(index as u64, len)).unwrap();
        if index % 100 == 0 {
            std::os::unix::fs::symlink(format!("file-{index}"), folder.join(format!("link-{index}")))
                .unwrap();
        }
    }
}

#[test]
fn an_ext4_tree_of_five_thousand_files_comes_back_identical() {
    let volume = Volume::xts(256 << 20, 9);
    let (tree, image, back) = (volume.path("tree"), volume.path("ext4.img"), volume.path("back.img"));
    make_tree(&tree, 5000);
    let text = |path: &Path| path.display().to_string();
    judge("mke2fs", ["-q", "-t", "ext4", "-d", &text(&tree), &text(&image), "256M"]);
    {
        let served = Served::table(&volume.table);
        judge("nbdcopy", [&text(&image), served.uri()]);
        assert_eq!(served.stop().0, Some(0), "the server did not end well");
    }
    // Another server reads what the first one wrote.
    let served = Served::table(&volume.table);
    judge("nbdcopy", [served.uri(), &text(&back)]);
    judge("e2fsck", ["-fn", &text(&back)]);
    let out = volume.path("out");
    fs::create_dir(&out).unwrap();
    judge("debugfs", ["-R", &format!("rdump / {}", text(&out)), &text(&back)]);
    let _ = fs::remove_dir_all(out.join("lost+found"));
    let found = Command::new("diff").args(["-r", "--no-dereference"]).arg(&tree).arg(&out).output().unwrap();
    assert!(found.status.success(), "the trees differ: {}", String::from_utf8_lossy(&found.stdout));
    let files = Command::new("find").arg(&out).args(["-type", "f"]).output().unwrap();
    let files = String::from_utf8_lossy(&files.stdout).lines().count();
    println!("ext4: e2fsck finds nothing, {files} files identical");
    assert_eq!(files, 5000);
}
