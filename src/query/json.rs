//! The functions that look into JSON text, for all of the text that the lake holds.
//!
//! A log may hold half of a surrogate pair (`\ud83d` by itself): JSON's grammar allows it (RFC 8259, section 8.2), and the
//! lake keeps it as it is. The parser behind the functions stops there and finds nothing that comes after it, so that
//! one such escape would hide the rest of a record from a rule. It also stops at values that are deeper than 200 levels,
//! which the lake keeps up to 256. For the functions alone, such a half is therefore read as U+FFFD, and what is too deep
//! as null. Must never change what a text is otherwise.

use std::borrow::Cow;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, LargeStringArray, StringArray, StringViewArray};
use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::prelude::SessionContext;
use memchr::memmem::Finder;

/// The functions whose first argument is JSON text.
const READERS: [&str; 11] = [
    "json_as_text",
    "json_contains",
    "json_get",
    "json_get_array",
    "json_get_bool",
    "json_get_float",
    "json_get_int",
    "json_get_json",
    "json_get_str",
    "json_length",
    "json_object_keys",
];

/// Makes the JSON functions and operators known to a session.
pub fn register(context: &mut SessionContext) -> Result<()> {
    datafusion_functions_json::register_all(context)?;
    context.register_function_rewrite(Arc::new(MendFirst))
}

/// Gives the JSON functions text that their parser can read.
#[derive(Debug)]
struct MendFirst;

impl FunctionRewrite for MendFirst {
    fn name(&self) -> &'static str {
        "mend_json_text"
    }

    fn rewrite(&self, expr: Expr, _schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        match expr {
            Expr::ScalarFunction(ScalarFunction { func, mut args })
                if READERS.contains(&func.name()) && args.first().is_some_and(|first| !is_mended(first)) =>
            {
                args[0] = MEND.call(vec![std::mem::take(&mut args[0])]);
                Ok(Transformed::yes(Expr::ScalarFunction(ScalarFunction { func, args })))
            }
            expr => Ok(Transformed::no(expr)),
        }
    }
}

fn is_mended(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(function) if function.func.name() == MEND.name())
}

static MEND: LazyLock<ScalarUDF> =
    LazyLock::new(|| ScalarUDF::from(Mend { signature: Signature::any(1, Volatility::Immutable) }));

/// Text without halves of surrogate pairs; anything but text as it is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Mend {
    signature: Signature,
}

impl ScalarUDFImpl for Mend {
    fn name(&self) -> &'static str {
        "json_text"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// That of its argument: an expression that is rewritten keeps its name, by which sets of groups are found.
    fn schema_name(&self, arguments: &[Expr]) -> Result<String> {
        Ok(arguments.iter().map(|argument| argument.schema_name().to_string()).collect())
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        Ok(arguments.first().cloned().unwrap_or(DataType::Null))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(match arguments.args.into_iter().next() {
            Some(ColumnarValue::Array(array)) => ColumnarValue::Array(mended_array(array)),
            Some(ColumnarValue::Scalar(scalar)) => {
                ColumnarValue::Scalar(ScalarValue::try_from_array(&mended_array(scalar.to_array()?), 0)?)
            }
            None => ColumnarValue::Scalar(ScalarValue::Null),
        })
    }
}

fn mended_array(array: ArrayRef) -> ArrayRef {
    let is_broken = |text: Option<&str>| text.is_some_and(|text| matches!(mended(text), Cow::Owned(_)));
    match array.data_type() {
        DataType::Utf8View if array.as_string_view().iter().any(is_broken) => {
            Arc::new(array.as_string_view().iter().map(|text| text.map(mended)).collect::<StringViewArray>())
        }
        DataType::Utf8 if array.as_string::<i32>().iter().any(is_broken) => {
            Arc::new(array.as_string::<i32>().iter().map(|text| text.map(mended)).collect::<StringArray>())
        }
        DataType::LargeUtf8 if array.as_string::<i64>().iter().any(is_broken) => {
            let texts = array.as_string::<i64>().iter().map(|text| text.map(mended));
            Arc::new(texts.collect::<LargeStringArray>())
        }
        DataType::Dictionary(..) => {
            let dictionary = array.as_any_dictionary();
            dictionary.with_values(mended_array(Arc::clone(dictionary.values())))
        }
        _ => array,
    }
}

/// JSON text that the parser can read whole; the text itself where it can.
fn mended(text: &str) -> Cow<'_, str> {
    match without_halves(text) {
        Cow::Borrowed(text) => without_depths(text),
        Cow::Owned(text) => Cow::Owned(without_depths(&text).into_owned()),
    }
}

/// Levels of a text that are left: some less than the parser goes into.
const MAX_LEVELS: usize = 190;

/// JSON text in which null is in the place of each object or list that is deeper than [`MAX_LEVELS`]; the text itself
/// where there is none.
fn without_depths(text: &str) -> Cow<'_, str> {
    let bytes = text.as_bytes();
    // Each level has two brackets: most texts need not be looked at.
    if bytes.len() <= 2 * MAX_LEVELS || memchr::memchr2_iter(b'{', b'[', bytes).count() <= MAX_LEVELS {
        return Cow::Borrowed(text);
    }
    let (mut kept, mut from) = (String::new(), 0);
    let (mut depth, mut is_text, mut at) = (0_usize, false, 0);
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if is_text => at += 1,
            b'"' => is_text = !is_text,
            b'{' | b'[' if !is_text => {
                if depth == MAX_LEVELS {
                    kept.push_str(&text[from..at]);
                    kept.push_str("null");
                }
                depth += 1;
            }
            b'}' | b']' if !is_text => {
                depth = depth.saturating_sub(1);
                if depth == MAX_LEVELS {
                    from = at + 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if kept.is_empty() { Cow::Borrowed(text) } else { Cow::Owned(kept + &text[from..]) }
}

/// JSON text in which each escape of a half of a surrogate pair is one of U+FFFD; the text itself where there is none.
fn without_halves(text: &str) -> Cow<'_, str> {
    static ESCAPE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\\u"));
    let bytes = text.as_bytes();
    let (mut mended, mut from): (Option<Vec<u8>>, usize) = (None, 0);
    while let Some(found) = ESCAPE.find(&bytes[from..]) {
        let at = from + found;
        let before = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        let is_escape = before % 2 == 0;
        from = match unit(&bytes[at + 2..]).filter(|_| is_escape) {
            Some(0xd800..=0xdbff) if low_follows(&bytes[at + 6..]) => at + 12,
            Some(0xd800..=0xdfff) => {
                mended.get_or_insert_with(|| bytes.to_vec())[at + 2..at + 6].copy_from_slice(b"fffd");
                at + 6
            }
            _ => at + 2,
        };
    }
    let mended = mended.and_then(|bytes| String::from_utf8(bytes).ok());
    mended.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether text begins with the escape of the second half of a surrogate pair.
fn low_follows(text: &[u8]) -> bool {
    text.strip_prefix(b"\\u").and_then(unit).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit))
}

/// The four hexadecimal digits that text begins with.
fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use arrow::record_batch::RecordBatch;

    use super::*;

    #[test]
    fn halves_of_pairs_are_replaced_and_nothing_else() {
        for (text, expected) in [
            ("", ""),
            (r#"{"a":"é \u00e9 \n \\ud83d"}"#, r#"{"a":"é \u00e9 \n \\ud83d"}"#),
            (r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00"}"#),
            (r#"{"a":"\uD83D\uDE00\uDE00"}"#, r#"{"a":"\uD83D\uDE00\ufffd"}"#),
            (r#"{"a":"\ud83d","b":1}"#, r#"{"a":"\ufffd","b":1}"#),
            (r#"{"a":"\\\ud83d"}"#, r#"{"a":"\\\ufffd"}"#),
            (r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00"}"#),
            (r#"{"a":"\ud83d\\ude00"}"#, r#"{"a":"\ufffd\\ude00"}"#),
            (r#"{"\udfff":"\ud83dx"}"#, r#"{"\ufffd":"\ufffdx"}"#),
            (r"\ud83", r"\ud83"),
            (r"\u", r"\u"),
            (r"\ud83d\u", r"\ufffd\u"),
            (r"\ud83d\", r"\ufffd\"),
        ] {
            assert_eq!(mended(text), expected);
            assert_eq!(matches!(mended(text), Cow::Owned(_)), text != expected, "{text}");
        }
    }

    #[test]
    fn what_is_too_deep_is_null_and_nothing_else() {
        let nested = |levels: usize, inside: &str| "[".repeat(levels) + inside + &"]".repeat(levels);
        let deepest = nested(MAX_LEVELS, r#""]]{","a\"[",{"#).replace(",{", "");
        let wide = format!("[{}]", vec!["{}"; 1000].join(","));
        for text in [deepest.as_str(), &wide, "", &"[".repeat(150)] {
            assert!(matches!(mended(text), Cow::Borrowed(_)), "{text}");
        }
        for (inside, expected) in
            [("[]", "null"), (r#"{"a":["}]"]}"#, "null"), (r#"1,[[]],"x\\",{},2"#, r#"1,null,"x\\",null,2"#)]
        {
            assert_eq!(mended(&nested(MAX_LEVELS, inside)), nested(MAX_LEVELS, expected));
        }
    }

    #[tokio::test]
    async fn what_comes_after_a_deep_value_is_found() {
        let mut context = SessionContext::new();
        register(&mut context).unwrap();
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            for levels in [1, 189, 190, 199, 200, 201, 253] {
                let deep = open.repeat(levels) + "1" + &close.repeat(levels);
                let text = format!(r#"{{"x":{deep},"b":{{"c":"y"}}}}"#);
                let sql =
                    format!("select json_get_str('{text}', 'b', 'c') || json_length('{text}') as found");
                let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
                let found = arrow::compute::cast(batches[0].column(0), &DataType::Utf8).unwrap();
                assert_eq!(
                    found.as_string::<i32>().iter().next().flatten(),
                    Some("y2"),
                    "{levels} of {open}"
                );
            }
        }
    }

    #[tokio::test]
    async fn what_comes_after_half_of_a_pair_is_found() {
        let mut context = SessionContext::new();
        register(&mut context).unwrap();
        let text = r#"{"a":"\ud83d","b":{"c":["x","y"]},"d":7}"#;
        for kind in ["Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"] {
            let rows =
                format!("(select arrow_cast(column1, '{kind}') as t from (values ('{text}'), (null)))");
            for (expression, expected) in [
                ("json_get_str(t, 'b', 'c', 1)", "y"),
                ("t -> 'b' -> 'c' ->> 0", "x"),
                ("json_get_str(json_get_json(t, 'b'), 'c', 0)", "x"),
                ("json_get_int(t, 'd')", "7"),
                ("cast(json_get(t, 'd') as bigint)", "7"),
                ("json_as_text(t, 'd')", "7"),
                ("json_length(t)", "3"),
                ("json_contains(t, 'd')", "true"),
                ("array_to_string(json_object_keys(t), ' ')", "a b d"),
                ("array_length(json_get_array(t, 'b', 'c'))", "2"),
            ] {
                if kind.starts_with("Dictionary") && expression.starts_with("array_") {
                    continue; // A list in a dictionary is no list to these.
                }
                let sql = format!("select {expression} from {rows} where t is not null");
                let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
                let rows: Vec<_> = batches.iter().filter(|batch| batch.num_rows() > 0).collect();
                let column = arrow::compute::cast(rows[0].column(0), &DataType::Utf8).unwrap();
                assert_eq!(column.as_string::<i32>().value(0), expected, "{kind}: {sql}");
                assert!(!rows[0].schema().field(0).name().contains("json_text"), "{sql}");
            }
            let sql = format!("select count(*) from {rows} where json_get_str(t, 'b', 'c', 0) = 'x'");
            let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
            assert_eq!(batches[0].column(0).as_primitive::<arrow::datatypes::Int64Type>().value(0), 1);
            let read = "json_get_str(t, 'b', 'c', 0)";
            for (groups, found) in [
                (format!("rollup({read})"), 3),
                (format!("cube({read})"), 3),
                (format!("grouping sets(({read}), ())"), 3),
            ] {
                let sql = format!("select {read}, count(*) from {rows} group by {groups}");
                let batches = context.sql(&sql).await.unwrap().collect().await.unwrap();
                let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
                assert_eq!(count, found, "{kind}: {sql}");
                let names: Vec<_> =
                    batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
                assert!(!names.concat().contains("json_text"), "{names:?}");
            }
        }
    }
}
