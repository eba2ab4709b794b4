//! Programs that must not compile, each with the reason the compiler must give, and lawful ones that must: else a
//! misspelt path would look like a closed door. The crates are those this test was built with.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a compiler that cannot be run ends the test")]

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

struct Built {
    deps: PathBuf,
    kernel: PathBuf,
    authority: PathBuf,
}

/// Uses types of the kernel through the authority, so it compiles only if the two files belong together.
const LAWFUL: &str = "
    use portcullis_authority::Caller;
    use portcullis_kernel::{secret::SecretValue, subject::Subject};
    pub fn who(caller: &Caller) -> &Subject { caller.subject() }
    pub fn value() -> bool { SecretValue::new(String::from(\"x\")).is_ok() }
";

/// The libraries of this name in the build directory, the youngest first.
fn libraries(deps: &Path, name: &str) -> Vec<PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(deps)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| {
            let file = entry.file_name().into_string().unwrap_or_default();
            file.starts_with(&format!("lib{name}-")) && file.ends_with(".rlib")
        })
        .map(|entry| (std::cmp::Reverse(entry.metadata().unwrap().modified().unwrap()), entry.path()))
        .collect();
    all.sort();
    all.into_iter().map(|(_, path)| path).collect()
}

fn compile(built: &Built, program: &str) -> Result<(), String> {
    let mut compiler = Command::new(option_env!("RUSTC").unwrap_or("rustc"))
        .args(["--edition", "2024", "--crate-type", "lib", "--crate-name", "attempt", "--emit", "metadata"])
        .args(["--out-dir", env!("CARGO_TARGET_TMPDIR")])
        .arg("-L")
        .arg(format!("dependency={}", built.deps.display()))
        .arg("--extern")
        .arg(format!("portcullis_kernel={}", built.kernel.display()))
        .arg("--extern")
        .arg(format!("portcullis_authority={}", built.authority.display()))
        .arg("-")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    compiler.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = compiler.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

fn built() -> Built {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_owned();
    let authority = libraries(&deps, "portcullis_authority").into_iter().next().expect("the authority was built");
    let mut said = String::new();
    for kernel in libraries(&deps, "portcullis_kernel") {
        let built = Built { deps: deps.clone(), kernel, authority: authority.clone() };
        match compile(&built, LAWFUL) {
            Ok(()) => return built,
            Err(error) => said = error,
        }
    }
    panic!("a lawful program does not compile:\n{said}");
}

/// What is tried, the error the compiler must give, a word it must say, and the program.
const ATTEMPTS: &[(&str, &str, &str, &str)] = &[
    (
        "forge an Allowed",
        "E0451",
        "`rule`",
        "pub fn f() -> portcullis_kernel::policy::Allowed {
            portcullis_kernel::policy::Allowed { rule: String::new() }
        }",
    ),
    (
        "forge a Caller out of another",
        "E0451",
        "`stepped_up_until`",
        "pub fn f(c: portcullis_authority::Caller) -> portcullis_authority::Caller {
            portcullis_authority::Caller { stepped_up_until: None, ..c }
        }",
    ),
    (
        "mint a permit",
        "E0624",
        "`mint`",
        "pub fn f() { let _ = portcullis_authority::Permit::<'static, 'static, ()>::mint; }",
    ),
    ("reach the module of permits", "E0603", "`permit`", "use portcullis_authority::permit::Writing;"),
    (
        "forge the proof that a permit was spent",
        "E0423",
        "Spent",
        "pub fn f() -> portcullis_authority::Spent<()> { portcullis_authority::Spent(()) }",
    ),
    (
        "define an action outside the authority",
        "E0277",
        "Act",
        "pub struct Mine; fn act<A: portcullis_authority::Act>() {} pub fn f() { act::<Mine>() }",
    ),
    (
        "begin a transaction outside",
        "E0624",
        "`write`",
        "pub fn f(a: &portcullis_authority::Authority) { let _ = a.write(|_| Ok(())); }",
    ),
    ("open a writer of its own", "E0603", "`db`", "use portcullis_authority::db::Writer;"),
    ("reach the seal", "E0603", "`act`", "use portcullis_authority::act::sealed::Act;"),
    (
        "spend a permit outside",
        "E0624",
        "`spend`",
        "pub fn f<A>(p: portcullis_authority::Permit<'_, '_, A>) { let _ = p.spend(|_, _, _| Ok(())); }",
    ),
    (
        "use a permit twice",
        "E0382",
        "`p`",
        "fn once<A>(_: portcullis_authority::Permit<'_, '_, A>) {}
        pub fn f<A>(p: portcullis_authority::Permit<'_, '_, A>) { once(p); once(p) }",
    ),
    (
        "print a struct with a value",
        "E0277",
        "Debug",
        "#[derive(Debug)] pub struct S { pub value: portcullis_kernel::secret::SecretValue }",
    ),
    (
        "clone a struct with a value",
        "E0277",
        "Clone",
        "#[derive(Clone)] pub struct S { pub value: portcullis_kernel::secret::SecretValue }",
    ),
    (
        "format a value",
        "E0277",
        "Display",
        "pub fn f(v: &portcullis_kernel::secret::SecretValue) -> String { format!(\"{v}\") }",
    ),
];

#[test]
fn what_the_door_forbids_does_not_compile_and_for_that_reason() {
    let built = built();
    for (what, code, word, program) in ATTEMPTS {
        let Err(said) = compile(&built, program) else { panic!("{what}: it compiles") };
        let codes: Vec<&str> = said.lines().filter(|line| line.starts_with("error[")).collect();
        let reason = codes.iter().any(|line| line.starts_with(&format!("error[{code}]")) && codes.len() == 1);
        assert!(reason && said.contains(word), "{what}: expected one {code} about {word}:\n{said}");
    }
}
