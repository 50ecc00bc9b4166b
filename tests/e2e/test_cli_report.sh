# moira report: the page and the summary of a run, what is refused, what is not written over, and trouble on the way.
. tests/e2e/lib.sh
small_text
small_config
moira 0 synth -o "$dir/synth.h5" --tokens 40000 --domains 4
moira 0 train "$dir/small.yaml" sample.tokens=0 "data.path=$dir/synth.h5"
run=$dir/run

moira 0 report "$run"
out_matches '^run          .*: step [0-9,]+ of [0-9,]+, all of its steps are done$'
out_matches '^best         [0-9.]+ nats per token at step [0-9,]+ \(perplexity [0-9.]+, [0-9.]+ bits per byte\)$'
out_matches '^step +tokens +time +train loss +validation loss +bits per byte$'
out_matches '^layer +max vio +cv +dead +dropped +entropy +top1 +weight$'
out_matches "^report       $run/report.html, 1[0-9] plots$"
out_has "data         $run/report/*.csv"
[ -s "$run/report/loss.csv" ] || fail "$ran: no loss.csv"
grep -qi '<script\|http' "$run/report.html" && fail "$ran: the page asks for something"
cp "$run/report.html" "$dir/first.html"
moira 0 report "$run/" # upon what is there
cmp -s "$run/report.html" "$dir/first.html" || fail "$ran: another page for the same run"

# Losses that are of no bytes.
cp -r "$run" "$dir/bare"
sed -i 's/"bits_per_byte": *[0-9.e+-]*/"bits_per_byte":null/' "$dir/bare/metrics.jsonl"
moira 0 report "$dir/bare"
out_matches '^best         [0-9.]+ nats per token at step [0-9,]+ \(perplexity [0-9.]+\)$'
grep -q '[( ]nan' "$dir/bare/report.html" && fail "$ran: the page has a nan"

# A name with everything in it that means something to a shell, to HTML or in links.
odd="$dir/odd <b>'\"&\`\$x"
mkdir "$odd"
cp -r "$run" "$odd/run"
moira 0 report "$odd/run" "--output=$odd/\$(touch MARK)?p#%.html"
[ -s "$odd/\$(touch MARK)?p#%/loss.csv" ] || fail "$ran: its data is not there"
grep -qF 'href="%24%28touch%20MARK%29%3Fp%23%25/loss.csv"' "$odd"/*.html || fail "$ran: its links lead elsewhere"
[ -e MARK ] && fail "a name was run"

# What is refused, with nothing written.
echo 'my own page' >"$dir/mine.html"
mkdir -p "$dir/data" && echo 'my own data' >"$dir/data/loss.csv"
refused "$dir/mine.html: is there already and is not a report of moira's" report "$run" -o "$dir/mine.html"
refused "$dir/data.html: the page's data would go into $dir/data, which is there already" report "$run" -o "$dir/data.html"
refused 'page.txt: a report is an HTML file: its name ends in .html' report "$run" -o "$dir/page.txt"
refused "its folder $dir/none does not exist" report "$run" -o "$dir/none/page.html"
refused 'nothing: no such folder' report "$dir/nothing"
refused 'data: is neither the folder of a run, which has config.yaml, nor that of an experiment' report "$dir/data"
refused 'mine.html: is no results file' report "$dir/mine.html"
refused 'RUN' report
cp -r "$run" "$dir/damaged"
rm -r "$dir/damaged/report" "$dir/damaged/report.html"
sed -i '2s/.*/nonsense/' "$dir/damaged/metrics.jsonl"
refused 'damaged/metrics.jsonl: line 2: ' report "$dir/damaged"

# Without gnuplot: tables, data, and a word.
path=$PATH
PATH=$dir/nowhere
moira 0 report "$run" -o "$dir/plain.html"
PATH=$path
out_has "report       $dir/plain.html, 0 plots"
err_has 'gnuplot could not be started, or did not end, so the report has no plots; install gnuplot-nox, and make it again'
grep -q 'Evaluations</caption>' "$dir/plain.html" || fail "$ran: no tables"
[ -s "$dir/plain/loss.csv" ] || fail "$ran: no data"

# A file may grow to 50 KB and no more: the run is the program's failure, and the page that was there stays.
cp "$run/report.html" "$dir/kept.html"
(
    trap '' XFSZ
    ulimit -f 100
    "$MOIRA" report "$run" -o "$dir/kept.html" >"$dir/.a" 2>"$dir/.b"
)
code=$?
[ "$code" -eq 1 ] || fail "a full disk: exit status $code, expected 1"
grep -q 'moira report: .*kept.*: cannot write' "$dir/.b" || { fail 'a full disk is not said'; cat "$dir/.b"; }
cmp -s "$run/report.html" "$dir/kept.html" || fail 'a full disk: the page that was there is another'
ls -A "$dir" | grep -q 'kept.html.tmp' && fail 'a full disk: something was left behind'
finish
