# make install: what it puts where, a C program built with pkg-config alone, headers that stand alone, the symbols of
# the shared library, the manual, and an uninstall that leaves nothing.
. tests/e2e/lib.sh
unset MAKEFLAGS MAKELEVEL MFLAGS
flavour=$(basename "$(dirname "$MOIRA")")
case $flavour in
release | portable) ;;
*) echo "only release and portable builds are installed, not $flavour" && exit 77 ;;
esac
command -v pkg-config >/dev/null || { echo 'no pkg-config' && exit 77; }
version=$(sed -n 's/^.define MO_VERSION_STRING "\(.*\)"$/\1/p' include/moira/base.h)
soname=libmoira.so.${version%.*}
# The libraries of a portable build for what the processor has.
levels=
[ "$flavour" = portable ] && [ "$(uname -m)" = x86_64 ] && levels='x86-64-v3 x86-64-v4'

install_to() {
    ran="make $*"
    make -s NO_DEPS=1 FLAVOUR="$flavour" "$@" >"$out" 2>"$err" || { fail "$ran" && show; }
}
files_below() { (cd "$1" && find . ! -type d | sed 's|^\./||' | sort); }

# ---- what is where ----

install_to install DESTDIR="$dir/stage" PREFIX=/usr
{
    printf '%s\n' bin/moira lib/libmoira.a lib/libmoira.so "lib/$soname" "lib/libmoira.so.$version" lib/pkgconfig/moira.pc \
        share/man/man1/moira.1 share/bash-completion/completions/moira share/zsh/site-functions/_moira
    for level in $levels; do echo "lib/glibc-hwcaps/$level/$soname"; done
    ls include/moira/*.h
    ls configs/*.yaml configs/models/*.yaml configs/templates/*.json | sed 's|^|share/moira/|'
} | sort >"$dir/want"
files_below "$dir/stage/usr" >"$dir/got"
diff "$dir/want" "$dir/got" || fail "$ran: other files than these"
grep -qx 'prefix=/usr' "$dir/stage/usr/lib/pkgconfig/moira.pc" || fail "$ran: moira.pc knows DESTDIR"
[ "$(readlink "$dir/stage/usr/lib/libmoira.so")" = "$soname" ] || fail "$ran: libmoira.so is no link to $soname"
[ -x "$dir/stage/usr/bin/moira" ] && [ ! -x "$dir/stage/usr/include/moira/moira.h" ] || fail "$ran: modes"
echo mine >"$dir/stage/usr/share/moira/configs/mine.yaml"
install_to uninstall DESTDIR="$dir/stage" PREFIX=/usr
[ "$(files_below "$dir/stage")" = usr/share/moira/configs/mine.yaml ] || fail "$ran: left other files"
[ ! -e "$dir/stage/usr/include/moira" ] || fail "$ran: left include/moira"
make -s NO_DEPS=1 install FLAVOUR=asan DESTDIR="$dir/none" >"$out" 2>"$err" && fail 'FLAVOUR=asan was installed'
ran='make install FLAVOUR=asan'
err_has 'FLAVOUR is asan; it is release or portable'
[ -e "$dir/none" ] && fail "$ran: made files"
# A library that an earlier portable build left for better processors would be taken for the new one.
mkdir -p "$dir/stage/usr/lib/glibc-hwcaps/x86-64-v3"
echo old >"$dir/stage/usr/lib/glibc-hwcaps/x86-64-v3/$soname"
install_to install DESTDIR="$dir/stage" PREFIX=/usr
grep -qsx old "$dir/stage/usr/lib/glibc-hwcaps/x86-64-v3/$soname" && [ "$(uname -m)" = x86_64 ] &&
    fail "$ran: left an older library"

# ---- a program of somebody else's ----

prefix=$dir/prefix
install_to install PREFIX="$prefix"
PKG_CONFIG_PATH=$prefix/lib/pkgconfig
export PKG_CONFIG_PATH
[ "$(pkg-config --modversion moira)" = "$version" ] || fail 'pkg-config: other version'
strict='-Wall -Wextra -pedantic -Werror'

build() {
    name=$1
    shift
    ran="cc example.c $*"
    cc -std=c11 $strict tests/api/example.c -o "$dir/$name" "$@" >"$out" 2>"$err" || { fail "$ran" && show; }
}
needs_library() { objdump -p "$dir/$1" | grep -q "NEEDED *$soname"; }

build dynamic $(pkg-config --cflags --libs moira)
build static -Wl,--as-needed -l:libmoira.a $(pkg-config --static --cflags --libs moira)
needs_library dynamic || fail "the program does not ask for $soname"
needs_library static && fail "the static program asks for $soname"

"$prefix/bin/moira" synth -o "$dir/data.h5" --tokens 60000 >"$out" 2>"$err" || { fail 'the installed program' && show; }
# What help says to run first can be run, from any folder.
mkdir "$dir/first"
"$prefix/bin/moira" help | sed -n '/^A first run/,$ s/^  //p' |
    sed 's/^moira synth.*/& --tokens 60000/; s/^moira train.*/& train.steps=2 train.batch_size=2/' >"$dir/first/run.sh"
ran='the first run of help'
(cd "$dir/first" && PATH=$prefix/bin:$PATH sh -e run.sh) >"$out" 2>"$err" || { fail "$ran" && show; }
out_matches '^done +2 steps'
out_has 'Once'

# A portable libmoira.a is for any processor, so the same bits come from the same of the shared libraries.
[ "$flavour" = portable ] && GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F && export GLIBC_TUNABLES
for kind in dynamic static; do
    ran="example ($kind)"
    LD_LIBRARY_PATH=$prefix/lib "$dir/$kind" "$dir/data.h5" "$dir/$kind.h5" >"$out" 2>"$err" || { fail "$ran" && show; }
    cp "$out" "$dir/$kind.txt"
done
same "$dir/dynamic.txt" "$dir/static.txt"
same "$dir/dynamic.h5" "$dir/static.h5"
out_matches '^step 1, loss 5\.[0-9]+$'
out_matches '^step 60, loss [123]\.[0-9]+$'
moira 0 eval "$dir/static.h5" --data "$dir/data.h5"
out_matches '^loss +[123]\.[0-9]+ nats'
moira 0 inspect "$dir/static.h5" --verify
out_has 'step'
ran='example without a file'
LD_LIBRARY_PATH=$prefix/lib "$dir/dynamic" "$dir/none.h5" "$dir/x.h5" >"$out" 2>"$err" && fail "$ran: passed"
err_has 'none.h5'

unset GLIBC_TUNABLES

# ---- headers and symbols ----

for header in include/moira/*.h; do
    header=moira/${header##*/}
    ran="#include <$header>"
    for language in 'cc -std=c11 -x c' 'c++ -std=c++17 -x c++'; do
        echo "$ran" | $language -fsyntax-only $strict $(pkg-config --cflags-only-I moira) - >"$out" 2>"$err" ||
            { fail "$ran with $language" && show; }
    done
done

# Exported is what the headers declare, no more and no less. Functions are names in front of a parenthesis. What the
# portable program calls besides has another version of symbols.
ran='symbols of libmoira.so'
nm -D --defined-only "$prefix/lib/$soname" | sed -n "s/.* \(.*\)@@MOIRA_${version%.*}\$/\1/p" | sort >"$dir/symbols"
nm -D --defined-only "$prefix/lib/$soname" | grep -v "@@MOIRA_${version%.*}\$" >"$dir/others"
grep -v " mo__[a-z0-9_]*@@MOIRA_PRIVATE_$version\$\| A MOIRA_" "$dir/others" >"$dir/extra"
[ -s "$dir/extra" ] && fail "$ran: neither in the headers nor the program's: $(tr '\n' ' ' <"$dir/extra")"
grep -oh 'mo_[a-z0-9][a-z0-9_]*' include/moira/*.h | sort -u >"$dir/named"
comm -23 "$dir/symbols" "$dir/named" >"$dir/extra"
[ -s "$dir/extra" ] && fail "$ran: not in the headers: $(tr '\n' ' ' <"$dir/extra")"
for header in include/moira/*.h; do cc -E -P -I include "$header"; done |
    grep -v '^static inline\|^typedef' | grep -o 'mo_[a-z0-9][a-z0-9_]*(' | tr -d '(' | sort -u >"$dir/declared"
comm -23 "$dir/declared" "$dir/symbols" >"$dir/missing"
[ "$(wc -l <"$dir/declared")" -gt 100 ] || fail "$ran: found few declarations"
[ -s "$dir/missing" ] && fail "$ran: declared, but not there: $(tr '\n' ' ' <"$dir/missing")"

# ---- the manual ----

ran='moira help --man'
page=$prefix/share/man/man1/moira.1
if command -v groff >/dev/null; then
    groff -man -Tascii -ww "$page" >"$out" 2>"$err"
    [ -s "$err" ] && fail "$ran: groff complains" && show
else
    echo 'no groff: the manual was not set'
fi
for text in '.SS "train CONFIG' '.B "\-\-resume"' '.B model.num_local_experts' '.SH EXIT STATUS'; do
    grep -qF "$text" "$page" || fail "$ran: no $text"
done
install_to uninstall PREFIX="$prefix"
[ -z "$(files_below "$prefix")" ] || fail "$ran: left files"
finish
