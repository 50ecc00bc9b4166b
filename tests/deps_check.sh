#!/bin/sh
# deps_check.sh [ROOT] -- holds every #include of include/ and src/ against the order of the modules, keeps each
# outside library in the module that may know it, and keeps the library from printing or ending the process.
# Names every offence with its file and line; exit 1 if there is one.
cd "${1:-$(dirname "$0")/..}" || exit 2
files=$(ls include/moira/*.h src/*/*.c src/*/*.h src/*/*.cc 2>/dev/null)

awk '
BEGIN {
    # module: what it may include besides itself
    allow["base"]      = ""
    allow["tensor"]    = "base"
    allow["tokenizer"] = "base tensor"
    allow["optim"]     = "base tensor"
    allow["store"]     = "base tensor tokenizer"
    allow["autograd"]  = "base tensor"
    allow["ops"]       = "base tensor autograd"
    allow["model"]     = "base tensor autograd ops optim"
    allow["data"]      = "base tensor tokenizer optim store"
    allow["hf"]        = "base tensor autograd ops model tokenizer optim store"
    allow["train"]     = "base tensor autograd ops model tokenizer optim store data hf"
    allow["config"]    = allow["train"] " train"
    allow["lab"]       = allow["config"] " config"
    allow["cli"]       = allow["lab"] " lab"

    # public headers that are not called after their module
    module_of["checkpoint"] = "store"; module_of["pretrained"] = "train"; module_of["upcycle"] = "train"; module_of["peft"] = "hf"
    module_of["tokenfile"] = "data"; module_of["chat"] = "data"; module_of["routing"] = "train"; module_of["bench"] = "train"

    # outside headers: the only files that may include them
    n = 0
    only[++n] = "^(hdf5|H5)";                     where[n] = "^src/store/h5\\.h$"
    only[++n] = "^yaml\\.h$";                     where[n] = "^src/config/"
    only[++n] = "^(cblas|openblas|lapack|dlfcn)"; where[n] = "^src/tensor/"
    only[++n] = "^Random123/";                    where[n] = "^src/base/"
    only[++n] = "^xxhash\\.h$";                   where[n] = "^src/(base|store|data)/"
    only[++n] = "^sentencepiece";                 where[n] = "^src/tokenizer/"
    only[++n] = "^(protobuf-c/|train/events)";    where[n] = "^src/train/"
    only[++n] = "^sqlite3\\.h$";                  where[n] = "^src/lab/"
}

function offence(text) { print FILENAME ":" FNR ": " text; bad = 1 }

function owner(header) {
    if (header in module_of) return module_of[header]
    return header
}

# The line without comments, strings and character constants; in_comment lives across lines.
function code(line,    out, c, two, quote) {
    out = ""
    while (line != "") {
        c = substr(line, 1, 1); two = substr(line, 1, 2)
        if (in_comment) {
            if (two == "*/") { in_comment = 0; line = substr(line, 3) } else line = substr(line, 2)
        } else if (two == "/*") { in_comment = 1; line = substr(line, 3)
        } else if (two == "//") { return out
        } else if (c == "\"" || c == "\047") {
            quote = c; line = substr(line, 2)
            while (line != "" && substr(line, 1, 1) != quote)
                line = substr(line, substr(line, 1, 1) == "\\" ? 3 : 2)
            line = substr(line, 2); out = out "0"
        } else { out = out c; line = substr(line, 2) }
    }
    return out
}

function check_include(target,    name, to, i) {
    for (i = 1; i <= n; i++)
        if (target ~ only[i] && FILENAME !~ where[i])
            offence("<" target "> may be included only by files that match " where[i])
    if (target ~ /^\.\./) offence("include " target " by its path from src/ or include/")
    if (target ~ /^moira\//) {
        name = target; sub(/^moira\//, "", name); sub(/\.h$/, "", name)
        if (name == "moira" && module != "cli" && module != "moira") offence("moira.h is for programs; name the modules")
        if (name == "moira") return
        to = owner(name)
    } else if (target ~ /^[a-z]+\// && (substr(target, 1, index(target, "/") - 1) in allow)) {
        to = substr(target, 1, index(target, "/") - 1)
    } else return
    if (!(to in allow)) offence(target ": no module of this name; tell tests/deps_check.sh whose header it is")
    else if (to != module && index(" " allow[module] " ", " " to " ") == 0)
        offence(module " may not include " target ", which is of " to)
}

FNR == 1 {
    in_comment = 0
    module = FILENAME
    if (sub(/^include\/moira\//, "", module)) { sub(/\.h$/, "", module); module = owner(module) }
    else { sub(/^src\//, "", module); sub(/\/.*/, "", module) }
    if (module != "moira" && !(module in allow))
        offence("no module is called " module "; tell tests/deps_check.sh its place in the order")
}

module == "moira" { next }

/^[ \t]*#[ \t]*include/ {
    target = $0
    sub(/^[^<"]*[<"]/, "", target); sub(/[>"].*/, "", target)
    check_include(target)
    next
}

{
    text = code($0)
    if (module != "cli") {
        if (match(text, /(^|[^A-Za-z0-9_.>])(v?printf|puts|putchar|perror|psignal|exit|_exit|_Exit|quick_exit|abort|assert)[ \t]*\(/))
            offence("the library may not call " substr(text, RSTART, RLENGTH) "...)")
        if (match(text, /(^|[^A-Za-z0-9_.>])(stdout|stderr)([^A-Za-z0-9_]|$)/)) offence("the library may not print")
    }
}

END { exit bad }
' $files
