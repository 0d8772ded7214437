//! Power failures: every commit is taken down call by call, and cut short after each, with what was not synced lost,
//! kept, or kept in part, in every combination that POSIX allows. What is left is read, and written to, as a store.
//!
//! The model: an entry of a directory is on the disk once that directory was synced, octets and mode of a file once the
//! file was; until then each may or may not be, whatever was called before or after it. A rename is atomic.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::calls::Disk;
use super::root::{Access, Directory};
use crate::dkim::key::{KeyKind, PrivateKey};
use crate::keystore::store::KeyStore;
use crate::manifest::{Choice, DomainManifest, PrivateKeyPlace, RetirementWaits};
use crate::names::{DomainName, Selector};

/// A file or directory of the recorded disk, by the order in which they were met.
type Object = usize;

/// One thing that a call did.
#[derive(Debug, Clone)]
enum Effect {
    /// A name in a directory now means this object, or nothing; a rename takes the old name away as well.
    Entry {
        directory: Object,
        name: String,
        object: Option<Object>,
        instead_of: Option<String>,
    },
    Octets {
        file: Object,
        octets: Vec<u8>,
    },
    Mode {
        object: Object,
        mode: u32,
    },
    /// Not an effect but its end: what was done to this object is on the disk.
    Synced {
        object: Object,
    },
}

impl Effect {
    /// What has to be synced for it to last.
    fn target(&self) -> Object {
        match self {
            Self::Entry { directory, .. } => *directory,
            Self::Octets { file: object, .. } | Self::Mode { object, .. } | Self::Synced { object } => *object,
        }
    }
}

/// A file or directory with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    mode: u32,
    content: Content,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<String, Object>),
}

/// All objects; the first is the store's root.
type Image = BTreeMap<Object, Node>;

/// What a disk was told since the recording began.
#[derive(Debug)]
pub(super) struct Record(Mutex<Taken>);

#[derive(Debug, Clone)]
struct Taken {
    /// By inode, as long as it is not used anew.
    objects: HashMap<u64, Object>,
    /// The disk at the beginning, and objects that came later, empty.
    image: Image,
    effects: Vec<Effect>,
}

impl Record {
    fn begin(root: &Path) -> Arc<Self> {
        let mut taken = Taken { objects: HashMap::new(), image: Image::new(), effects: Vec::new() };
        taken.meet(root);
        Arc::new(Self(Mutex::new(taken)))
    }

    fn take(&self, effect: impl FnOnce(&mut Taken) -> Effect) {
        let mut taken = self.0.lock().unwrap();
        let effect = effect(&mut taken);
        taken.effects.push(effect);
    }

    pub(super) fn made_directory(&self, at: &File, name: &str) {
        let stat = rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
        self.take(|taken| {
            let object = taken.add(stat.st_ino, Node { mode: 0o700, content: Content::Directory(BTreeMap::new()) });
            taken.entry(at, name, Some(object), None)
        });
    }

    pub(super) fn created(&self, at: &File, name: &str, file: &File) {
        let inode = file.metadata().unwrap().ino();
        self.take(|taken| {
            let object = taken.add(inode, Node { mode: 0o600, content: Content::File(Vec::new()) });
            taken.entry(at, name, Some(object), None)
        });
    }

    pub(super) fn changed_mode(&self, file: &File, mode: u32) {
        self.take(|taken| Effect::Mode { object: taken.object(file), mode });
    }

    pub(super) fn wrote(&self, file: &File, octets: &[u8]) {
        self.take(|taken| Effect::Octets { file: taken.object(file), octets: octets.to_owned() });
    }

    pub(super) fn synced(&self, file: &File) {
        self.take(|taken| Effect::Synced { object: taken.object(file) });
    }

    pub(super) fn renamed(&self, at: &File, from: &str, to: &str) {
        self.take(|taken| {
            let object = taken.named(at, to);
            taken.entry(at, to, Some(object), Some(from))
        });
    }

    pub(super) fn linked(&self, at: &File, to: &str) {
        self.take(|taken| {
            let object = taken.named(at, to);
            taken.entry(at, to, Some(object), None)
        });
    }

    pub(super) fn unlinked(&self, at: &File, name: &str) {
        self.take(|taken| taken.entry(at, name, None, None));
    }
}

impl Taken {
    /// Takes in what was there before the recording.
    fn meet(&mut self, path: &Path) -> Object {
        let metadata = fs::symlink_metadata(path).unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        if metadata.is_file() {
            return self.add(metadata.ino(), Node { mode, content: Content::File(fs::read(path).unwrap()) });
        }
        let object = self.add(metadata.ino(), Node { mode, content: Content::Directory(BTreeMap::new()) });
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap();
            let below = self.meet(&entry.path());
            let Content::Directory(names) = &mut self.image.get_mut(&object).unwrap().content else { unreachable!() };
            names.insert(entry.file_name().into_string().unwrap(), below);
        }
        object
    }

    fn add(&mut self, inode: u64, node: Node) -> Object {
        let object = self.image.len();
        self.image.insert(object, node);
        self.objects.insert(inode, object);
        object
    }

    fn object(&self, file: &File) -> Object {
        self.objects[&file.metadata().unwrap().ino()]
    }

    fn named(&self, at: &File, name: &str) -> Object {
        self.objects[&rustix::fs::statat(at, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap().st_ino]
    }

    fn entry(&self, at: &File, name: &str, object: Option<Object>, instead_of: Option<&str>) -> Effect {
        let instead_of = instead_of.map(str::to_owned);
        Effect::Entry { directory: self.object(at), name: name.to_owned(), object, instead_of }
    }

    /// Every disk that may be left when the power fails after `calls` calls.
    fn disks_after(&self, calls: usize) -> BTreeSet<Tree> {
        let effects = &self.effects[..calls];
        let is_durable = |index: usize, effect: &Effect| {
            let later = &effects[index + 1..];
            later.iter().any(|later| matches!(later, Effect::Synced { object } if *object == effect.target()))
        };
        let pending: Vec<usize> = (0..effects.len())
            .filter(|&index| !matches!(effects[index], Effect::Synced { .. }) && !is_durable(index, &effects[index]))
            .collect();
        // Of octets also a half may be there.
        let ways = |index: &usize| if matches!(effects[*index], Effect::Octets { .. }) { 3 } else { 2 };
        let all: usize = pending.iter().map(ways).product();
        assert!(all <= 4096, "{} calls are not synced", pending.len());
        let mut disks = BTreeSet::new();
        for mut choice in 0..all {
            let mut image = self.image.clone();
            for (index, effect) in effects.iter().enumerate() {
                let share = if pending.contains(&index) {
                    let way = choice % ways(&index);
                    choice /= ways(&index);
                    way
                } else {
                    1
                };
                apply(&mut image, effect, share);
            }
            disks.insert(tree(&image));
        }
        disks
    }
}

/// `share`: 0 nothing of it, 1 all, 2 half.
fn apply(image: &mut Image, effect: &Effect, share: usize) {
    if share == 0 {
        return;
    }
    let node = image.get_mut(&effect.target()).unwrap();
    match (effect, &mut node.content) {
        (Effect::Entry { name, object, instead_of, .. }, Content::Directory(names)) => {
            if let Some(old) = instead_of {
                names.remove(old);
            }
            match object {
                Some(object) => names.insert(name.clone(), *object),
                None => names.remove(name),
            };
        }
        (Effect::Octets { octets, .. }, Content::File(content)) => {
            content.extend_from_slice(&octets[..octets.len() / share]);
        }
        (Effect::Mode { mode, .. }, _) => node.mode = *mode,
        (Effect::Synced { .. }, _) => {}
        other => panic!("{other:?}"),
    }
}

/// What can be reached from the root: path, mode, and octets where it is a file.
type Tree = Vec<(PathBuf, u32, Option<Vec<u8>>)>;

fn tree(image: &Image) -> Tree {
    fn add(image: &Image, object: Object, path: &Path, tree: &mut Tree) {
        let node = &image[&object];
        match &node.content {
            Content::File(octets) => tree.push((path.to_owned(), node.mode, Some(octets.clone()))),
            Content::Directory(names) => {
                tree.push((path.to_owned(), node.mode, None));
                for (name, object) in names {
                    add(image, *object, &path.join(name), tree);
                }
            }
        }
    }
    let mut all = Tree::new();
    add(image, 0, Path::new("keys"), &mut all);
    all
}

/// Makes a tree below `scratch`.
fn lay_out(tree: &Tree, scratch: &Path) -> Directory {
    for (path, mode, octets) in tree {
        let path = scratch.join(path);
        match octets {
            Some(octets) => fs::write(&path, octets).unwrap(),
            None => fs::create_dir(&path).unwrap(),
        }
        fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
    }
    Directory::open(&scratch.join("keys")).unwrap()
}

/// A change of a store, recorded.
struct Recorded {
    taken: Taken,
    /// The manifests of `example.com` before and after.
    old: Option<DomainManifest>,
    new: Option<DomainManifest>,
    /// Key files that are to be gone once the change is done.
    destroyed: Vec<PathBuf>,
}

type Change = fn(&Directory);

fn record(before: Change, change: Change) -> Recorded {
    let scratch = tempfile::tempdir().unwrap();
    let root = scratch.path().join("keys");
    let (owner, group) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut store = Directory::create(&root, Access::TwoUsers { owner, group }).unwrap();
    before(&store);
    let old = store.manifest(&example()).unwrap();
    let keys = keys(&root);
    let record = Record::begin(&root);
    store.disk = Disk { record: Some(Arc::clone(&record)) };
    change(&store);
    let new = store.manifest(&example()).unwrap();
    let destroyed = keys.into_iter().filter(|key| !root.join(key).exists()).collect();
    let taken = record.0.lock().unwrap().clone();
    Recorded { taken, old, new, destroyed }
}

impl Recorded {
    /// Cuts the change short everywhere. How many different disks were left, or what is wrong with one.
    fn replay(&self) -> Result<usize, String> {
        let last = self.taken.effects.len();
        let mut seen: BTreeSet<(bool, Tree)> = BTreeSet::new();
        for calls in 0..=last {
            for disk in self.taken.disks_after(calls) {
                let is_done = calls == last;
                if seen.insert((is_done, disk.clone())) {
                    self.judge(&disk, is_done).map_err(|wrong| {
                        let names = disk.iter().map(|(path, mode, _)| format!("\n{mode:o} {}", path.display()));
                        format!("after {calls} calls: {wrong}{}", names.collect::<String>())
                    })?;
                }
            }
        }
        Ok(seen.len())
    }

    fn judge(&self, disk: &Tree, is_done: bool) -> Result<(), String> {
        let scratch = tempfile::tempdir().unwrap();
        let store = lay_out(disk, scratch.path());
        let found = store.manifest(&example()).map_err(|error| error.to_string())?;
        if found != self.new && (is_done || found != self.old) {
            return Err(format!("revision {:?} is read", found.map(|manifest| manifest.revision())));
        }
        for domain in ["example.com", "other.example"] {
            whole(&store, &name(domain))?;
        }
        if let Some(back) = self.destroyed.iter().find(|key| is_done && store.root().join(key).exists()) {
            return Err(format!("{} is there again", back.display()));
        }
        // The next writer tidies.
        let key = ed25519();
        let manifest = found.unwrap_or_else(|| DomainManifest::new(example()));
        let next = bind(&manifest, "next", &key, PrivateKeyPlace::Own);
        let written = store.commit(&next, &[&key]).map_err(|error| error.to_string())?;
        whole(&store, &example())?;
        let directory = store.root().join("domains/example.com");
        let kept = |binding: &&crate::manifest::Binding| binding.private_key == PrivateKeyPlace::Own;
        let (left, wanted) = (names(&directory).len(), 1 + written.bindings().iter().filter(kept).count());
        if left != wanted {
            return Err(format!("{left} names are left, not {wanted}: {:?}", names(&directory)));
        }
        let is_right = |path: &Path, mode| fs::metadata(path).unwrap().permissions().mode() & 0o7777 == mode;
        if !is_right(&directory, 0o2750) || names(&directory).iter().any(|name| !is_right(&directory.join(name), 0o640))
        {
            return Err("readers cannot read it".into());
        }
        Ok(())
    }
}

fn whole(store: &Directory, domain: &DomainName) -> Result<(), String> {
    let manifest = store.manifest(domain).map_err(|error| error.to_string())?;
    for binding in manifest.iter().flat_map(DomainManifest::bindings) {
        if binding.private_key != PrivateKeyPlace::None {
            store.private_key(domain, binding).map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

fn name(domain: &str) -> DomainName {
    DomainName::parse(domain).unwrap()
}

fn example() -> DomainName {
    name("example.com")
}

fn ed25519() -> PrivateKey {
    PrivateKey::generate(KeyKind::Ed25519).unwrap()
}

fn bind(manifest: &DomainManifest, selector: &str, key: &PrivateKey, place: PrivateKeyPlace) -> DomainManifest {
    let selector = Selector::parse(selector).unwrap();
    manifest.bind_generated(selector, key.public().clone(), place, 3600, Timestamp::UNIX_EPOCH).unwrap()
}

fn manifest(store: &Directory, domain: &DomainName) -> DomainManifest {
    store.manifest(domain).unwrap().unwrap_or_else(|| DomainManifest::new(domain.clone()))
}

fn names(directory: &Path) -> Vec<String> {
    fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// All private keys, relative to the root.
fn keys(root: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for part in ["domains/example.com", "shared"].map(PathBuf::from) {
        let found = fs::read_dir(root.join(&part)).into_iter().flatten();
        all.extend(found.map(|entry| part.join(entry.unwrap().file_name())));
    }
    all.retain(|path| path.extension().is_some_and(|extension| extension == "pem"));
    all
}

fn nothing(_: &Directory) {}

/// Two keys at once, as a domain begins.
fn first_keys(store: &Directory) {
    let keys = [ed25519(), ed25519()];
    let one = bind(&manifest(store, &example()), "a", &keys[0], PrivateKeyPlace::Own);
    let both = bind(&one, "b", &keys[1], PrivateKeyPlace::Own);
    store.commit(&both, &[&keys[0], &keys[1]]).unwrap();
}

/// A new key signs instead of the old.
fn rotation(store: &Directory) {
    let key = ed25519();
    let bound = bind(&manifest(store, &example()), "c", &key, PrivateKeyPlace::Own);
    let active = bound.activate(Choice::Newest, RetirementWaits::default(), Timestamp::UNIX_EPOCH).unwrap();
    store.commit(&active.manifest, &[&key]).unwrap();
}

fn destruction(store: &Directory) {
    let selector = Selector::parse("a").unwrap();
    let removal = manifest(store, &example()).remove(&[selector], Timestamp::UNIX_EPOCH).unwrap();
    store.commit(&removal.manifest, &[]).unwrap();
}

/// Another domain has a shared key.
fn another_shares(store: &Directory) {
    let key = ed25519();
    let other = bind(&manifest(store, &name("other.example")), "s", &key, PrivateKeyPlace::Shared);
    store.commit(&other, &[&key]).unwrap();
}

/// That key, and a shared one that is new.
fn shared_keys(store: &Directory) {
    let other = manifest(store, &name("other.example"));
    let (known, new) = (other.bindings()[0].public_key.clone(), ed25519());
    let selector = Selector::parse("s").unwrap();
    let place = PrivateKeyPlace::Shared;
    let one = manifest(store, &example());
    let one = one.bind_generated(selector, known, place, 3600, Timestamp::UNIX_EPOCH).unwrap();
    store.commit(&bind(&one, "t", &new, place), &[&new]).unwrap();
}

fn both_share(store: &Directory) {
    another_shares(store);
    shared_keys(store);
}

/// The domain gives up both, and the one that nobody else has is destroyed.
fn shared_destruction(store: &Directory) {
    let before = manifest(store, &example());
    let candidates: Vec<_> = before.bindings().iter().map(crate::manifest::Binding::key_id).collect();
    let removal = before.remove(&[], Timestamp::UNIX_EPOCH).unwrap();
    store.commit(&removal.manifest, &[]).unwrap();
    let bound = || -> Result<_, crate::keystore::StoreError> {
        Ok(manifest(store, &name("other.example")).bindings().iter().map(crate::manifest::Binding::key_id).collect())
    };
    assert_eq!(store.destroy_shared(&candidates, bound).unwrap().len(), 1);
}

/// A writer was cut short when its keys were there and its manifest was not.
fn cut_short(store: &Directory) {
    let directory = store.root().join("domains/example.com");
    if !directory.exists() {
        fs::create_dir(&directory).unwrap();
        fs::set_permissions(&directory, Permissions::from_mode(0o2750)).unwrap();
    }
    for name in ["z.0123abcd.pem", ".z.0123abcd.pem.new", ".manifest.json.new"] {
        fs::write(directory.join(name), "x").unwrap();
        fs::set_permissions(directory.join(name), Permissions::from_mode(0o640)).unwrap();
    }
}

fn cut_short_later(store: &Directory) {
    first_keys(store);
    cut_short(store);
}

fn cases() -> [(&'static str, Change, Change); 7] {
    [
        ("the first keys", nothing, first_keys),
        ("a rotation", first_keys, rotation),
        ("a destruction", first_keys, destruction),
        ("shared keys", another_shares, shared_keys),
        ("the destruction of a shared key", both_share, shared_destruction),
        ("first keys after a writer was cut short", cut_short, first_keys),
        ("a rotation after a writer was cut short", cut_short_later, rotation),
    ]
}

#[test]
fn a_power_failure_leaves_the_old_manifest_or_the_new_one_with_all_its_keys() {
    for (what, before, change) in cases() {
        match record(before, change).replay() {
            Ok(disks) => assert!(disks >= 10, "{what}: only {disks} disks"),
            Err(wrong) => panic!("{what}: {wrong}"),
        }
    }
}

#[test]
fn without_any_one_of_its_syncs_a_commit_would_not_survive() {
    for (what, before, change) in &cases()[..5] {
        let recorded = record(*before, *change);
        let syncs = (0..recorded.taken.effects.len())
            .filter(|&index| matches!(recorded.taken.effects[index], Effect::Synced { .. }));
        for index in syncs {
            let mut taken = recorded.taken.clone();
            taken.effects.remove(index);
            let (old, new, destroyed) = (recorded.old.clone(), recorded.new.clone(), recorded.destroyed.clone());
            let missing = Recorded { taken, old, new, destroyed };
            assert!(missing.replay().is_err(), "{what}: the sync at call {index} is for nothing");
        }
    }
}
