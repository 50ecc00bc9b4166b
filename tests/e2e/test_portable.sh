# The portable build: the loader takes the library that suits the processor, the program says which, all of them train to
# the same losses, and a program does not take a library of another version. Run by make test-portable.
. tests/e2e/lib.sh
folder=$(dirname "$MOIRA")
[ "$(basename "$folder")" = portable ] || { echo 'of a portable build only' && exit 77; }
GOMP_SPINCOUNT=1000
export GOMP_SPINCOUNT

# ---- which library ----

# What the processor has not, as far as the loader knows: what it runs then.
without() { GLIBC_TUNABLES=glibc.cpu.hwcaps=$1 && export GLIBC_TUNABLES; }
ld=$(readelf -l "$MOIRA" | sed -n 's/.*program interpreter: \(.*\)\]/\1/p')
takes() { "$ld" --help 2>/dev/null | grep -q "$1 (supported, searched)"; }

levels=baseline
takes x86-64-v3 && levels="$levels x86-64-v3"
takes x86-64-v4 && levels="$levels x86-64-v4"
level() {
    case $1 in
    baseline) without -AVX2,-AVX512F words='SSE2 (any x86-64)' ;;
    x86-64-v3) without -AVX512F words='AVX2 and FMA' ;;
    x86-64-v4) unset GLIBC_TUNABLES && words='AVX-512' ;;
    esac
    [ "$(uname -m)" = x86_64 ] || words=
}
for level in $levels; do
    level "$level"
    moira 0 --version
    out_has "with $words"
    echo "$level: $(sed -n 's/^computes *//p' "$out")"
done
unset GLIBC_TUNABLES

# ---- the same losses ----

# Sums in another order, and products that are rounded once or twice: 20 steps carry that to 1e-4 at most.
small_text
small_config
moira 0 prepare "$dir/text.txt" -o "$dir/text.h5"
for level in $levels; do
    level "$level"
    moira 0 train "$dir/small.yaml" run.dir="$dir/$level" log.every=1
    sed -n 's/.*"train_loss": *\([0-9.]*\).*/\1/p' "$dir/$level/metrics.jsonl" >"$dir/$level.losses"
    [ "$(wc -l <"$dir/$level.losses")" -ge 20 ] || fail "$ran: fewer than 20 losses in metrics.jsonl"
    paste "$dir/baseline.losses" "$dir/$level.losses" | awk '
        { d = $1 - $2; if (d < 0) d = -d; if (!(d <= worst)) worst = d; if (!(d <= 1e-4 * $1)) far = 1 }
        END { printf "differ by %g at most\n", worst; exit far }' >"$dir/far" || fail "$ran: losses $(cat "$dir/far")"
    echo "$level: losses $(cat "$dir/far")"
done
unset GLIBC_TUNABLES

# ---- elsewhere, by the loader's name, and of another version ----

ran='by the loader'
[ -x "$ld" ] && { (unset GOMP_SPINCOUNT OMP_WAIT_POLICY && "$ld" "$(realpath "$MOIRA")" --version) >"$out" 2>"$err" || { fail "$ran" && show; }; out_has "with $words"; }

cp -r "$folder/moira" "$folder"/libmoira.so.* "$dir"
[ -d "$folder/glibc-hwcaps" ] && cp -r "$folder/glibc-hwcaps" "$dir"
ran='a copy of the build'
"$dir/moira" --version >"$out" 2>"$err" || { fail "$ran" && show; }
out_has "with $words"

# The name that the program's private calls have holds the whole version.
version=$(sed -n 's/^.define MO_VERSION_STRING "\(.*\)"$/\1/p' include/moira/base.h)
other=$(printf %s "$version" | tr 0-9 1-90)
for library in "$dir"/libmoira.so.* "$dir"/glibc-hwcaps/*/libmoira.so.*; do
    [ -e "$library" ] && LC_ALL=C sed -i "s/MOIRA_PRIVATE_$version/MOIRA_PRIVATE_$other/" "$library"
done
ran='with a library of another version'
"$dir/moira" --version >"$out" 2>"$err" && fail "$ran: runs"
err_has "MOIRA_PRIVATE_$version"
finish
