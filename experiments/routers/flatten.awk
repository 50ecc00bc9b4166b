# flatten.awk -- JSON into lines of a path and a value, one for each scalar, the values as they stand:
#   awk -v name=run -f flatten.awk      {"step": 3, "layers": [{"load": [0.5, 0.5]}]}
#   run.step 3
#   run.layers.0.load.0 0.5
#   run.layers.0.load.1 0.5
# Several objects one after another (metrics.jsonl) give their lines one after another.

function path(    d, text) {
    text = name
    for (d = 1; d <= depth; d++) text = text "." key[d]
    return text
}

function take(token) {
    if (token == "{" || token == "[") {
        kind[++depth] = token
        key[depth] = 0
        at_key = token == "{"
    } else if (token == "}" || token == "]") {
        depth--
    } else if (token == ",") {
        at_key = kind[depth] == "{"
        if (!at_key) key[depth]++
    } else if (token == ":") {
        at_key = 0
    } else if (at_key) {
        key[depth] = substr(token, 2, length(token) - 2)
    } else {
        print path(), token
    }
}

{
    rest = $0
    while (match(rest, /^[ \t\r]*("([^"\\]|\\.)*"|[][{},:]|[^][{},:" \t\r]+)/)) {
        token = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        sub(/^[ \t\r]+/, "", token)
        take(token)
    }
}
