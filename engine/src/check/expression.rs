//! CEL conditions, compiled at load and evaluated under limits.
//!
//! The interpreter has no budget of its own, so that the limits are laid beforehand: the length of the text, how deep
//! comprehensions nest (each level multiplies the work by the number of rows), and rows times levels at evaluation.

use cel::common::ast::{EntryExpr, Expr, IdedExpr};
use cel::objects::Key;
use cel::{Context, Env, Program, Value};
use serde_json::{Map, Value as Json};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock};

/// The longest condition, in bytes.
const MAX_BYTES: usize = 2_000;
/// How deep brackets may nest, and the tree of what is written: the parser and the interpreter both recurse.
const MAX_BRACKETS: usize = 24;
const MAX_TREE: u32 = 64;
/// How deep comprehensions (`all`, `exists`, `map`, `filter`) may nest.
const MAX_NESTING: u32 = 2;
/// The most steps that the comprehensions of one condition may take over one measurement.
const MAX_STEPS: u64 = 5_000_000;

/// The names that a condition may use.
pub(crate) const NAMES: [&str; 8] = ["row", "rows", "count", "facts", "settings", "component", "now", "limit"];

static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));

/// A compiled condition.
pub struct Expression {
    text: String,
    program: Program,
    nesting: u32,
}

/// Why a condition gave neither true nor false.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{expression}`: {message}")]
pub struct ExpressionError {
    /// The condition, cut to 120 characters.
    pub expression: String,
    /// What went wrong.
    pub message: String,
}

impl Expression {
    /// Compiles a condition. The error comes with the place within the text, in bytes.
    pub(crate) fn compile(text: &str) -> Result<Self, (String, usize)> {
        Self::compile_over(text, &NAMES)
    }

    /// Compiles a condition over other names than those of a check.
    pub(crate) fn compile_over(text: &str, names: &[&str]) -> Result<Self, (String, usize)> {
        if text.len() > MAX_BYTES {
            return Err((format!("is longer than {MAX_BYTES} bytes"), 0));
        }
        if bracket_depth(text) > MAX_BRACKETS {
            return Err((format!("nests brackets more than {MAX_BRACKETS} deep"), 0));
        }
        let program = ENVIRONMENT.compile(text).map_err(|errors| {
            let first = errors.errors.first();
            let message = first.map_or_else(|| errors.to_string(), |error| error.msg.clone());
            (message, first.map_or(0, |error| offset_of(text, error.pos)))
        })?;
        let mut scan = Scan { names, ..Scan::default() };
        scan.visit(program.expression(), 0, &mut Vec::new());
        if scan.too_deep {
            return Err((format!("is built more than {MAX_TREE} steps deep: split it"), 0));
        }
        if let Some(name) = scan.unknown {
            let place = text.find(&name).unwrap_or(0);
            return Err((format!("`{name}` is not known here; known are {}", names.join(", ")), place));
        }
        if scan.nesting > MAX_NESTING {
            return Err((format!("nests comprehensions more than {MAX_NESTING} deep"), 0));
        }
        Ok(Self { text: text.to_owned(), program, nesting: scan.nesting })
    }

    /// Evaluates the condition; anything but true or false is an error.
    pub(crate) fn is_true(&self, scope: &Scope<'_>) -> Result<bool, ExpressionError> {
        let steps = (scope.rows.max(1) as u64).saturating_pow(self.nesting).saturating_mul(scope.evaluations as u64);
        if self.nesting > 0 && steps > MAX_STEPS {
            return Err(self.error(&format!("would take {steps} steps, more than {MAX_STEPS}")));
        }
        match self.program.execute(&scope.context) {
            Ok(Value::Bool(truth)) => Ok(truth),
            Ok(other) => Err(self.error(&format!("gave a {} and not true or false", other.type_of()))),
            Err(error) => Err(self.error(&error.to_string())),
        }
    }

    fn error(&self, message: &str) -> ExpressionError {
        let cut = |text: &str, max: usize| text.chars().take(max).collect::<String>();
        ExpressionError { expression: cut(&self.text, 120), message: cut(message, 300) }
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Expression").field(&self.text).finish()
    }
}

/// The names in force, and how much there is to do.
pub(crate) struct Scope<'a> {
    context: Context<'a, 'a>,
    rows: usize,
    evaluations: usize,
}

impl Scope<'static> {
    /// A scope of `rows` rows in which each condition is evaluated `evaluations` times.
    pub(crate) fn new(rows: usize, evaluations: usize) -> Self {
        Self { context: Context::with_env(Arc::clone(&ENVIRONMENT)), rows, evaluations }
    }
}

impl Scope<'_> {
    /// Binds a name.
    pub(crate) fn set(&mut self, name: &str, value: Value) {
        self.context.add_variable_from_value(name, value);
    }
}

/// A JSON value for CEL. Whole numbers are `int`, never `uint`: mixing the two is an error in CEL.
pub(crate) fn cel_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(truth) => Value::Bool(*truth),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Int(whole),
            None => Value::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Json::String(text) => Value::String(Arc::new(text.clone())),
        Json::Array(items) => Value::List(Arc::new(items.iter().map(cel_value).collect())),
        Json::Object(map) => cel_map(map),
    }
}

/// A row for CEL.
pub(crate) fn cel_map(map: &Map<String, Json>) -> Value {
    let entries: HashMap<Key, Value> =
        map.iter().map(|(name, value)| (Key::String(Arc::new(name.clone())), cel_value(value))).collect();
    Value::Map(cel::objects::Map { map: Arc::new(entries) })
}

fn bracket_depth(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut deepest = 0;
    for byte in text.bytes() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        deepest = deepest.max(depth);
    }
    deepest
}

/// The byte offset of a (line, column) that count from 1.
fn offset_of(text: &str, (line, column): (isize, isize)) -> usize {
    let lines_before = usize::try_from(line - 1).unwrap_or(0);
    let start: usize = text.split_inclusive('\n').take(lines_before).map(str::len).sum();
    (start + usize::try_from(column - 1).unwrap_or(0)).min(text.len())
}

/// What is known of a condition before it runs.
#[derive(Default)]
struct Scan<'a> {
    names: &'a [&'a str],
    nesting: u32,
    unknown: Option<String>,
    level: u32,
    too_deep: bool,
}

impl Scan<'_> {
    fn visit(&mut self, node: &IdedExpr, depth: u32, bound: &mut Vec<String>) {
        if self.level == MAX_TREE {
            self.too_deep = true;
            return;
        }
        self.level += 1;
        self.visit_parts(node, depth, bound);
        self.level -= 1;
    }

    fn visit_parts(&mut self, node: &IdedExpr, depth: u32, bound: &mut Vec<String>) {
        match &node.expr {
            Expr::Ident(name) => self.check_name(name, bound),
            Expr::Select(select) => self.visit(&select.operand, depth, bound),
            Expr::Call(call) => {
                for part in call.target.as_deref().into_iter().chain(&call.args) {
                    self.visit(part, depth, bound);
                }
            }
            Expr::List(list) => list.elements.iter().for_each(|element| self.visit(element, depth, bound)),
            Expr::Map(map) => self.visit_entries(&map.entries, depth, bound),
            Expr::Struct(made) => self.visit_entries(&made.entries, depth, bound),
            Expr::Comprehension(loop_) => {
                self.visit(&loop_.iter_range, depth, bound);
                self.nesting = self.nesting.max(depth + 1);
                let outer = bound.len();
                bound.push(loop_.iter_var.clone());
                bound.extend(loop_.iter_var2.clone());
                bound.push(loop_.accu_var.clone());
                for part in [&loop_.accu_init, &loop_.loop_cond, &loop_.loop_step, &loop_.result] {
                    self.visit(part, depth + 1, bound);
                }
                bound.truncate(outer);
            }
            Expr::Literal(_) | Expr::Unspecified => {}
        }
    }

    fn visit_entries(&mut self, entries: &[cel::common::ast::IdedEntryExpr], depth: u32, bound: &mut Vec<String>) {
        for entry in entries {
            match &entry.expr {
                EntryExpr::MapEntry(pair) => {
                    self.visit(&pair.key, depth, bound);
                    self.visit(&pair.value, depth, bound);
                }
                EntryExpr::StructField(field) => self.visit(&field.value, depth, bound),
            }
        }
    }

    fn check_name(&mut self, name: &str, bound: &[String]) {
        // Type names (`int`, `string`) are identifiers too.
        let types = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];
        let known = self.names.contains(&name) || types.contains(&name) || bound.iter().any(|own| own == name);
        if !known && !name.starts_with('@') && self.unknown.is_none() {
            self.unknown = Some(name.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn evaluate(text: &str, row: &Json) -> Result<bool, String> {
        let expression = Expression::compile(text).map_err(|(message, _)| message)?;
        let mut scope = Scope::new(1, 1);
        scope.set("row", cel_value(row));
        scope.set("rows", cel_value(&json!([row, row])));
        scope.set("count", Value::Int(2));
        expression.is_true(&scope).map_err(|error| error.message)
    }

    #[test]
    fn compares_whole_and_decimal_numbers() {
        let row = json!({"a": 3, "b": 2.5, "big": 9_007_199_254_740_993_i64, "t": "x", "n": null});
        for text in [
            "row.a > 2.5",
            "row.b < 3",
            "row.a >= 3 && row.b == 2.5",
            "row.n == null",
            "row.t != null",
            "has(row.a) && !has(row.missing)",
            "rows.exists(r, r.a == 3) && count == 2",
            "rows.filter(r, r.b > 2.0).size() == 2",
            "double(row.a) / 2.0 == 1.5",
            "row.t.startsWith('x') && row.t in ['x', 'y']",
            "row.big > 9007199254740992",
            "timestamp('2026-01-01T00:00:00Z') < timestamp('2026-01-02T00:00:00Z')",
            "row.t.matches('^x$')",
        ] {
            assert_eq!(evaluate(text, &row), Ok(true), "{text}");
        }
    }

    #[test]
    fn is_an_error_where_it_can_not_tell() {
        let row = json!({"a": 3, "n": null});
        for text in ["row.missing > 1", "row.n > 1", "row.a", "row.a + 1.5 > 1.0", "row.a / 0 > 1"] {
            assert!(evaluate(text, &row).is_err(), "{text} gave {:?}", evaluate(text, &row));
        }
    }

    #[test]
    fn refuses_unknown_names_and_deep_nesting() {
        assert!(evaluate("rwo.a > 1", &json!({})).unwrap_err().contains("`rwo` is not known"));
        let deep = "rows.all(a, rows.all(b, rows.all(c, true)))";
        assert!(evaluate(deep, &json!({})).unwrap_err().contains("nests"));
        assert!(Expression::compile("row.a >").is_err());
        for hostile in ["(", "[", "row.", "true?", "1+", "row["] {
            let text = hostile.repeat(1_900 / hostile.len());
            assert!(Expression::compile(&text).is_err(), "{hostile}");
            assert!(Expression::compile(&format!("{text}row")).is_err(), "{hostile}");
        }
        // The parser folds these, however many there are.
        assert!(Expression::compile(&format!("{}true", "!".repeat(1_900))).is_ok());
        assert!(Expression::compile(&format!("{}true{}", "true?".repeat(300), ":true".repeat(300))).is_err());
    }

    #[test]
    fn refuses_to_take_too_many_steps() {
        let expression = Expression::compile("rows.all(a, rows.all(b, true))").unwrap();
        let mut scope = Scope::new(10_000, 1);
        scope.set("rows", Value::List(Arc::new(vec![Value::Int(1); 3])));
        assert!(expression.is_true(&scope).unwrap_err().message.contains("steps"));
    }
}
