//! The rows of the matrix, what each can answer, and docs/portability.md.
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::requests::{Ask, PLAIN, REQUESTS, SEEDS, Target};

/// What a handler looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A body in, a body out.
    Request,
    /// The whole HTTP request.
    Event,
    /// A web server of its own, or an application that the template serves.
    Server,
    /// A handler of AWS Lambda.
    Lambda,
    /// One of the seeds' two functions.
    Seed,
}

/// A handler in tests/portability, and a function of that name.
pub struct Row {
    pub name: &'static str,
    pub lang: &'static str,
    pub shape: Shape,
}

const fn row(name: &'static str, lang: &'static str, shape: Shape) -> Row {
    Row { name, lang, shape }
}

pub const ROWS: &[Row] = &[
    row("bash", "bash", Shape::Request),
    row("csharp", "csharp", Shape::Event),
    row("go", "go", Shape::Event),
    row("go-server", "go", Shape::Server),
    row("java", "java", Shape::Event),
    row("java-server", "java", Shape::Server),
    row("lua", "lua", Shape::Event),
    row("lua-request", "lua", Shape::Request),
    row("node", "node", Shape::Event),
    row("node-express", "node-express", Shape::Server),
    row("node-lambda", "node", Shape::Lambda),
    row("node-request", "node", Shape::Request),
    row("node-server", "node", Shape::Server),
    row("perl", "perl", Shape::Event),
    row("perl-request", "perl", Shape::Request),
    row("php", "php", Shape::Event),
    row("php-request", "php", Shape::Request),
    row("php-server", "php", Shape::Server),
    row("python3", "python3", Shape::Event),
    row("python3-flask", "python3-flask", Shape::Server),
    row("python3-http", "python3-http", Shape::Event),
    row("python3-lambda", "python3", Shape::Lambda),
    row("python3-request", "python3", Shape::Request),
    row("python3-server", "python3", Shape::Server),
    row("ruby", "ruby", Shape::Event),
    row("ruby-lambda", "ruby", Shape::Lambda),
    row("ruby-request", "ruby", Shape::Request),
    row("ruby-server", "ruby", Shape::Server),
    row("rust", "rust", Shape::Event),
    row("rust-server", "rust", Shape::Server),
    row("typescript", "typescript", Shape::Event),
    row("get-tax", "python3", Shape::Seed),
    row("get-tax-flask", "python3-flask", Shape::Seed),
    row("get-tax-lambda", "python3", Shape::Seed),
    row("post-message", "python3", Shape::Seed),
    row("post-message-flask", "python3-flask", Shape::Seed),
    row("post-message-lambda", "python3", Shape::Seed),
];

/// What shims are asked of answers that are no whole ones, or none.
const ODD: [&str; 7] = [
    "an answer without a status",
    "a header without a value",
    "a header in UTF-8",
    "a header with a line end",
    "a header of no good name",
    "statuses that are none",
    "interim statuses",
];

/// What `make test` asks where functions have to be built as images or archives first.
const QUICK: [&str; 5] = ["bash", "node", "node-lambda", "python3", "python3-lambda"];

/// The rows that this run asks.
pub fn rows() -> Vec<&'static Row> {
    let full = std::env::var_os("FAAS_TEST_FULL").is_some();
    let only = std::env::var("FAAS_PORTABILITY_ROWS").unwrap_or_default();
    let only: Vec<&str> = only.split(',').filter(|name| !name.is_empty()).collect();
    let wanted = |row: &&Row| match only.as_slice() {
        [] => full || QUICK.contains(&row.name),
        names => names.contains(&row.name),
    };
    ROWS.iter().filter(wanted).collect()
}

/// Where a row can run: `None`, or why it can't.
pub fn excluded(row: &Row, column: &str) -> Option<&'static str> {
    if column.starts_with("Lambda, zip") && ["csharp", "lua", "perl", "php"].contains(&row.lang) {
        return Some("no runtime of Lambda has it: an image does");
    }
    (column.ends_with("exec wrapper") && ["bash", "go", "rust"].contains(&row.lang))
        .then_some("a custom runtime starts the bootstrap, and knows no wrapper")
}

/// Why a cell that could be asked was not.
fn unrun(row: &Row) -> &'static str {
    match row.lang {
        "rust" => {
            "the beds' registry has no base image with a Rust that is new enough; tests/beds/openfaas/base-images.sh rust makes it"
        }
        _ => {
            "compiled in its image, which takes the beds minutes a row: asked for by FAAS_PORTABILITY_ROWS and not run yet"
        }
    }
}

/// Why a request can't be answered there, where that is known beforehand.
fn lacks(row: &Row, column: &str, request: &str) -> Option<&'static str> {
    if row.shape == Shape::Lambda && request == "a streamed answer" {
        return Some("a handler of Lambda returns its answer whole");
    }
    if ODD.contains(&request) && matches!(row.shape, Shape::Server | Shape::Lambda) {
        return Some("what a web server of one's own or a handler of Lambda answers is read by other rules");
    }
    if row.lang == "rust" && ODD.contains(&request) && !request.contains("without") {
        return Some("the types of the crate `http` know no such answer");
    }
    if row.lang == "go" && request == "interim statuses" {
        return Some("net/http sends them before the answer");
    }
    if row.shape == Shape::Server && request == "a header of 64 KB" {
        return Some("the limits of a web server of one's own are its own");
    }
    if column == "Knative" && request == "a header of 64 KB" {
        return Some("the ingress takes 60 KiB of them");
    }
    if row.lang == "bash" && ["a JSON answer", "a text answer", "an error's message"].contains(&request) {
        return Some("it prints a body; status and header fields are the invoker's");
    }
    if row.lang == "bash" && column.starts_with("Lambda") && request == "5 MB" {
        return Some("what it prints goes as bytes, of which an answer of Lambda holds 4.5 MB");
    }
    if column.starts_with("Lambda") && request == "5 MB of bytes in chunks" {
        return Some("an event of Lambda holds 6 MB, which is 4.5 MB of bytes");
    }
    None
}

/// What came of a row's requests: nothing when it went well, else why not.
pub type Cell = BTreeMap<&'static str, Result<(), String>>;
/// The cells of a platform by row.
pub type Column = BTreeMap<&'static str, Cell>;

/// What a row is asked.
fn asked(row: &Row, column: &str) -> Vec<&'static (&'static str, Ask)> {
    match row.shape {
        Shape::Seed => {
            SEEDS.iter().filter(|(name, _)| name.contains("tax") == row.name.starts_with("get-tax")).collect()
        }
        shape => REQUESTS
            .iter()
            .filter(|(name, _)| shape != Shape::Request || PLAIN.contains(name))
            .filter(|(name, _)| lacks(row, column, name).is_none())
            .collect(),
    }
}

/// Asks all rows, some at the same time. A row without a target was not deployed.
pub fn ask_all(rows: &[&'static Row], column: &str, target: impl Fn(&Row) -> Result<Target, String> + Sync) -> Column {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let cells = std::sync::Mutex::new(Column::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    let cell = match target(row) {
                        Ok(target) => asked(row, column).iter().map(|(name, ask)| (*name, ask(&target))).collect(),
                        Err(why) => asked(row, column).iter().map(|(name, _)| (*name, Err(why.clone()))).collect(),
                    };
                    cells.lock().expect("cells").insert(row.name, cell);
                }
            });
        }
    });
    cells.into_inner().expect("cells")
}

#[track_caller]
pub fn assert_green(column: &Column) {
    let mut red = String::new();
    for (name, cell) in column {
        for (request, answer) in cell {
            if let Err(why) = answer {
                red += &format!("{name}: {request}: {why}\n");
            }
        }
    }
    assert!(red.is_empty(), "not alike:\n{red}");
}

/// The columns in the order of the page.
const COLUMNS: [&str; 6] = [
    "local, process",
    "OpenFaaS, container",
    "Knative",
    "Lambda, zip as bootstrap",
    "Lambda, zip by exec wrapper",
    "Lambda, image",
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("portability")
}

/// Keeps what was found, and writes docs/portability.md of all that was, when that was asked for.
pub fn keep(column: &str, cells: &Column) {
    if std::env::var_os("FAAS_PORTABILITY_WRITE").is_none() {
        return;
    }
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().expect("the page");
    let as_json = |cell: &Cell| -> Value {
        cell.iter()
            .map(|(name, answer)| ((*name).to_owned(), json!(answer.as_ref().err())))
            .collect::<serde_json::Map<_, _>>()
            .into()
    };
    let path = folder().join(format!("{column}.json"));
    // A run of some rows leaves the others as they were.
    let mut kept: serde_json::Map<String, Value> =
        std::fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    kept.extend(cells.iter().map(|(name, cell)| ((*name).to_owned(), as_json(cell))));
    std::fs::create_dir_all(folder()).expect("a folder");
    std::fs::write(path, Value::from(kept).to_string()).expect("a column");
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/portability.md");
    std::fs::write(page, self::page()).expect("docs/portability.md");
}

fn page() -> String {
    let read = |column: &str| -> Value {
        let text = std::fs::read(folder().join(format!("{column}.json"))).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    };
    let columns: Vec<(&str, Value)> = COLUMNS.iter().map(|column| (*column, read(column))).collect();
    let mut text = String::from(
        "# Portability\n\nWritten by `FAAS_PORTABILITY_WRITE=1 make test-full`: the same handler in every template and shape, \
         deployed to every\nplatform and asked the same requests. A cell says how many were answered alike;\none that has fewer than the others of its row was asked before the list grew.\n\n",
    );
    text += &format!("| handler | shape | {} |\n|---|---|{}\n", COLUMNS.join(" | "), "---|".repeat(COLUMNS.len()));
    let (mut red, mut none) = (String::new(), BTreeMap::<&str, Vec<String>>::new());
    for row in ROWS {
        let mut cells = Vec::new();
        for (column, found) in &columns {
            if let Some(why) = excluded(row, column) {
                cells.push("none".to_owned());
                none.entry(why).or_default().push(format!("{}: {column}", row.lang));
                continue;
            }
            let Some(cell) = found[row.name].as_object() else {
                cells.push("not run".into());
                none.entry(unrun(row)).or_default().push(format!("{}: {column}", row.name));
                continue;
            };
            let good = cell.values().filter(|why| why.is_null()).count();
            let mark = if good == cell.len() { "" } else { " **red**" };
            cells.push(format!("{good} of {}{mark}", cell.len()));
            for (request, why) in cell {
                if let Some(why) = why.as_str() {
                    let line = why.lines().next().unwrap_or_default();
                    red += &format!("- {}, {column}: {request}: {line}\n", row.name);
                }
            }
            for (request, _) in REQUESTS {
                let of_shape = row.shape != Shape::Seed && (row.shape != Shape::Request || PLAIN.contains(request));
                if let Some(why) = lacks(row, column, request).filter(|_| of_shape) {
                    none.entry(why).or_default().push(format!("{}: {request}", row.name));
                }
            }
        }
        let shape = format!("{:?}", row.shape).to_lowercase();
        text += &format!("| {} | {shape} | {} |\n", row.name, cells.join(" | "));
    }
    text += "\nThe platforms: local runs processes; OpenFaaS is its gateway of 2024-01 with faasd; Knative is Serving on a\n\
             Kubernetes of one node; Lambda is AWS's runtime interface emulator, its parameter store moto's. Images are built\n\
             by the templates' Dockerfiles on bases of Debian's packages.\n\n## Red\n\n";
    text += if red.is_empty() { "Nothing is.\n" } else { &red };
    text += "\n## Not asked, and why\n\n";
    for (why, mut what) in none {
        what.sort();
        what.dedup();
        text += &format!("- {why} ({})\n", what.join(", "));
    }
    text += "\nThe emulator answers in one piece, so there a streamed answer is asked for its content alone. OpenFaaS's gateway streams\n\
             what is asked for with `Accept: text/event-stream`.\n\n## The requests\n\n";
    for (name, _) in REQUESTS {
        let plain = if PLAIN.contains(name) { " (a handler of a body alone is asked this, too)" } else { "" };
        text += &format!("- {name}{plain}\n");
    }
    text += "\nThe seeds' get_tax and post_message are asked what they are for, each in its three shapes: `handle(req)`, a Flask\n\
             application, `main(event, context)` of Lambda.\n";
    text
}
