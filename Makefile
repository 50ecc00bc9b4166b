# Moira's build. One make graph for all flavours, each in its own folder: build/<flavour>/.
#
#   build/<flavour>/moira  libmoira.a  libmoira.so  tests/<kind>/test_x
#
# Every src/<module>/*.c but src/cli goes into the library, and so does what protoc-c makes of src/<module>/*.proto
# (build/gen); every tests/{unit,ops,e2e}/test_*.c is a program.
# Any of these files is a target too: make build/asan/tests/unit/test_base

VERSION := $(shell sed -n 's/^.define MO_VERSION_STRING "\(.*\)"$$/\1/p' include/moira/base.h)
# What programs are linked to: major.minor, within which the interface of the library stays.
SONAME  := libmoira.so.$(basename $(VERSION))
MAKEFLAGS += -rR
ifeq ($(filter -j% --jobserver%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: FORCE
.DEFAULT_GOAL := all
Q := $(if $(V),,@)

# ---- what there is ----

SRC_C   := $(filter-out src/cli/%,$(wildcard src/*/*.c))
SRC_CC  := $(wildcard src/*/*.cc)
PROTO   := $(wildcard src/*/*.proto)
GEN_C   := $(PROTO:src/%.proto=build/gen/%.pb-c.c)
GEN_H   := $(GEN_C:.c=.h)
CLI     := $(wildcard src/cli/*.c)
HARNESS := $(wildcard tests/harness/*.c)
tests    = $(basename $(wildcard $(foreach kind,$(1),tests/$(kind)/test_*.c)))
PORTABLE_TESTS := tests/e2e/test_portable.sh tests/e2e/test_install.sh
SHELL_TESTS := $(filter-out tests/e2e/test_portable.sh,$(wildcard tests/e2e/test_*.sh))
OURS    := $(wildcard include/moira/*.h src/*/*.[ch] src/*/*.cc tests/*/*.[ch])

# ---- flavours ----

# The portable build has a library for each of these levels of x86-64 besides the one that runs anywhere; glibc (2.33 and
# later) takes the best that the processor can run from glibc-hwcaps/LEVEL beside that one. Other processors: that one.
LEVELS := $(if $(filter x86_64,$(shell uname -m)),x86-64-v3 x86-64-v4)

FLAVOURS := release portable $(LEVELS) f64 debug asan ubsan tsan valgrind

WARNINGS := -Wall -Wextra -Wshadow -Wconversion -Wdouble-promotion -Wpointer-arith -Wcast-qual -Wformat=2 -Werror
C_ONLY   := -std=c11 -Wstrict-prototypes -Wmissing-prototypes
CXX_ONLY := -std=c++17
CPPFLAGS_ALL := -Iinclude -Isrc -Ibuild/gen
# Tests include private headers by module ("base/memory.h") and "harness/harness.h".
TEST_CPPFLAGS := -Itests

# -std=c11 would keep the compiler from fusing a*b+c. Not -ffast-math: NaN must stay NaN, sums keep their order.
COMMON   := -g -fPIC -fno-semantic-interposition -fopenmp -ffp-contract=fast -fno-math-errno -fno-trapping-math

# make's own default for CC is no choice of anybody's.
CC.default  := $(if $(filter command environment,$(origin CC)),$(CC),gcc)
CXX.default := $(if $(filter command environment,$(origin CXX)),$(CXX),g++)
FLAGS.release  := -O3 -march=native
FLAGS.portable := -O3
$(foreach level,$(LEVELS),$(eval FLAGS.$(level) := -O3 -march=$(level)))
FLAGS.f64      := -O2 -march=native -DMO_REAL_DOUBLE
FLAGS.debug    := -O0 -g3 -march=native
# Instrumented code makes gcc guess wrong about these two.
QUIET := -Wno-format-truncation -Wno-maybe-uninitialized
FLAGS.asan     := -O1 -march=native -fno-omit-frame-pointer -fsanitize=address -fno-sanitize-recover=all $(QUIET)
FLAGS.ubsan    := -O1 -march=native -fsanitize=undefined,float-cast-overflow -fno-sanitize-recover=all $(QUIET)
FLAGS.tsan     := -O1 -march=native -fsanitize=thread -DMO_BLAS_REFERENCE -Wno-pass-failed
CC.tsan  := clang
CXX.tsan := clang++
# valgrind 3.19 knows no AVX-512.
FLAGS.valgrind := -O1 -march=x86-64-v3 -DMO_BLAS_REFERENCE

# The portable program takes the library that lies beside it, or where `install` puts it.
LIBRARY.portable := libmoira.so
LINK.portable    := -Wl,--as-needed,-rpath,'$$ORIGIN:$$ORIGIN/../lib'

cc  = $(or $(CC.$(1)),$(CC.default))
cxx = $(or $(CXX.$(1)),$(CXX.default))

# ---- packages ----

PACKAGES := libopenblas-openmp-dev libhdf5-dev libyaml-dev libjansson-dev librandom123-dev libxxhash-dev \
    zlib1g-dev libsqlite3-dev libsentencepiece-dev protobuf-c-compiler libprotobuf-c-dev gnuplot-nox pkg-config \
    libcmocka-dev hdf5-tools g++
CHECK_PACKAGES := clang-format cppcheck valgrind clang libomp-14-dev

# Asked once, at the first recipe that needs them: by then `deps` has installed pkg-config.
PKG_CONFIG := hdf5 yaml-0.1 jansson zlib sqlite3 sentencepiece libprotobuf-c
PKG_CFLAGS = $(eval PKG_CFLAGS := $$(shell pkg-config --cflags $(PKG_CONFIG)))$(PKG_CFLAGS)
PKG_LIBS   = $(eval PKG_LIBS := $$(shell pkg-config --libs $(PKG_CONFIG)))$(PKG_LIBS)
# OpenBLAS is opened at run time (src/tensor), so that the openmp variant is chosen whatever the system prefers.
LIBS = $(PKG_LIBS) -lm -ldl -lstdc++

# ---- rules, once per flavour ----

# $(call stamp,text): the target holds the text, and is younger than before only if that changed.
stamp = @mkdir -p $(@D); echo '$(1)' | cmp -s - $@ || echo '$(1)' > $@

define flavour
objects.$(1) := $(patsubst %,build/$(1)/obj/%.o,$(basename $(SRC_C) $(SRC_CC) $(GEN_C)))

build/$(1)/obj/%.o: %.c build/$(1)/flags | deps $(GEN_H)
	@mkdir -p $$(@D)
	@echo "  CC    $$@"
	$$(Q)$(call cc,$(1)) -D_GNU_SOURCE= $$(CPPFLAGS_ALL) $$(PKG_CFLAGS) $$(C_ONLY) $$(WARNINGS) $$(COMMON) $$(FLAGS.$(1)) \
	    $$(DEFINES) $$(CFLAGS) -MMD -MP -c $$< -o $$@

build/$(1)/obj/%.o: %.cc build/$(1)/flags | deps
	@mkdir -p $$(@D)
	@echo "  CXX   $$@"
	$$(Q)$(call cxx,$(1)) $$(CPPFLAGS_ALL) $$(PKG_CFLAGS) $$(CXX_ONLY) $$(WARNINGS) $$(COMMON) $$(FLAGS.$(1)) \
	    $$(CXXFLAGS) -MMD -MP -c $$< -o $$@

build/$(1)/libmoira.a: $$(objects.$(1)) build/$(1)/sources
	@echo "  AR    $$@"
	@rm -f $$@
	$$(Q)ar rcs $$@ $$(objects.$(1))

build/$(1)/libmoira.so: $$(objects.$(1)) build/$(1)/sources build/exports
	@echo "  LD    $$@"
	$$(Q)$(call cc,$(1)) -shared -Wl,-soname,$$(SONAME) -Wl,--version-script,build/exports $$(COMMON) $$(FLAGS.$(1)) \
	    $$(objects.$(1)) $$(LDFLAGS) $$(LIBS) -o $$@

build/$(1)/libharness.a: $$(patsubst %.c,build/$(1)/obj/%.o,$$(HARNESS))
	@mkdir -p $$(@D)
	@rm -f $$@
	$$(Q)ar rcs $$@ $$^

build/$(1)/moira: $$(patsubst %.c,build/$(1)/obj/%.o,$$(CLI)) build/$(1)/$(or $(LIBRARY.$(1)),libmoira.a)
	@echo "  LD    $$@"
	$$(Q)$(call cc,$(1)) $$(COMMON) $$(FLAGS.$(1)) $$^ $$(LINK.$(1)) $$(LDFLAGS) $$(LIBS) -o $$@

build/$(1)/tests/%: build/$(1)/obj/tests/%.o build/$(1)/libharness.a build/$(1)/libmoira.a
	@mkdir -p $$(@D)
	@echo "  LD    $$@"
	$$(Q)$(call cc,$(1)) $$(COMMON) $$(FLAGS.$(1)) $$^ $$(LDFLAGS) -lcmocka $$(LIBS) -o $$@

build/$(1)/obj/tests/%: DEFINES = $$(TEST_CPPFLAGS)
# What protoc-c writes casts constants to char *.
build/$(1)/obj/build/gen/%: DEFINES = -w

# Only this file knows the commit, so that a commit rebuilds only it.
build/$(1)/obj/src/cli/cmd_version.o: DEFINES = -DMO_COMMIT='"$$(COMMIT)"' -DMO_FLAVOUR='"$(1)"'
build/$(1)/obj/src/cli/cmd_version.o: build/commit

# Rewritten when the command that compiles changes, or what -march=native stands for: a folder that was built on
# another machine, or by another compiler, is built anew. And when a source comes or goes.
build/$(1)/flags: FORCE | deps
	$$(call stamp,$(call cc,$(1)) $$(CPPFLAGS_ALL) $$(C_ONLY) $$(WARNINGS) $$(COMMON) $$(FLAGS.$(1)) $$(CFLAGS) $$(CXXFLAGS) \
	    macros $$(shell $(call cc,$(1)) $$(FLAGS.$(1)) -dM -E -x c /dev/null 2>/dev/null | sort | cksum))
build/$(1)/sources: FORCE
	$$(call stamp,$$(objects.$(1)))
endef
$(foreach f,$(FLAVOURS),$(eval $(call flavour,$(f))))
.SECONDARY:

build/gen/%.pb-c.c build/gen/%.pb-c.h: src/%.proto | deps
	@mkdir -p $(@D)
	@echo "  PROTO $@"
	$(Q)protoc-c -Isrc --c_out=build/gen $<

# The shared library shows what the public headers name, and what the portable program of the very same version calls
# besides, under a name of its own, so that the loader refuses them to each other where versions differ.
build/exports: $(wildcard include/moira/*.h src/cli/*.[ch]) Makefile
	@mkdir -p $(@D)
	@{ echo 'MOIRA_$(basename $(VERSION)) { global:'; \
	   grep -oh 'mo_[a-z0-9][a-z0-9_]*' $(filter include/%,$^) | sort -u | sed 's/$$/;/'; echo 'local: *; };'; \
	   echo 'MOIRA_PRIVATE_$(VERSION) { global:'; \
	   grep -oh 'mo__[a-z0-9_]*' $(filter src/%,$^) | sort -u | sed 's/$$/;/'; echo '};'; } >$@.new
	@cmp -s $@.new $@ && rm $@.new && touch $@ || mv $@.new $@

# ---- the portable build: the program, and its libraries where the loader looks for them ----

PORTABLE_LIBS := $(SONAME) $(LEVELS:%=glibc-hwcaps/%/$(SONAME))

build/portable/$(SONAME): build/portable/libmoira.so
	ln -f $< $@

build/portable/glibc-hwcaps/%/$(SONAME): build/%/libmoira.so
	@mkdir -p $(@D)
	ln -f $< $@

build/portable/moira: | $(PORTABLE_LIBS:%=build/portable/%)

# `sudo make install` asks about a repository of somebody else.
COMMIT := $(or $(shell git -c safe.directory='*' describe --always --dirty --abbrev=12 --exclude='*' 2>/dev/null),unknown)
build/commit: FORCE
	$(call stamp,$(COMMIT))

-include $(shell find build -name '*.d' 2>/dev/null)

# $(call programs,flavour,kinds): the test programs. $(call moira,flavour): the program, once it has sources.
programs = $(patsubst %,build/$(1)/%,$(call tests,$(2)))
moira    = $(if $(CLI),build/$(1)/moira)
# $(call run,flavour,tests): the flavour's program is what shell tests call.
run      = MOIRA=$(CURDIR)/build/$(1)/moira tests/run.sh $(2)

# ---- targets ----

.PHONY: all lib portable debug demo install uninstall test gradcheck test-portable asan ubsan tsan valgrind check lint \
    deps-check format bench bench-compare bench-checkpoint deps check-deps clean help

all: lib $(call moira,release) | deps ## the program build/moira and the library (default)
	$(if $(CLI),@ln -sf release/moira build/moira)

lib: build/release/libmoira.a build/release/libmoira.so ## build/release/libmoira.a and .so

portable: build/portable/libmoira.a build/portable/libmoira.so $(PORTABLE_LIBS:%=build/portable/%) $(call moira,portable) ## build/portable: for any x86-64, fast on each

debug: build/debug/libmoira.a $(call moira,debug) ## build/debug: no optimisation

DEMO := checkpoints/demo
DEMO_PROMPTS := 'Once a' '\# 8 sums' '{"kind": "user"' 'def make_' 'The sweet' 'Recipe: hot' '[10:42:00]' 'Strings of 6'
demo: all ## make a corpus, train a small MoE on it in minutes, show what it learnt and how it routes
	@mkdir -p data checkpoints
	build/moira synth -o data/demo.h5
	@if [ -e $(DEMO) ]; then echo "removing the last demo's $(DEMO)"; rm -rf $(DEMO); fi
	build/moira train configs/demo.yaml run.dir=$(DEMO)
	@set -e; { \
	    for prompt in $(DEMO_PROMPTS); do \
	        echo "---- $$prompt"; build/moira generate $(DEMO)/best.h5 --max-tokens 160 --temperature 0.5 --prompt "$$prompt"; \
	    done; \
	    echo; build/moira eval $(DEMO)/best.h5 --data data/demo.h5 --by-domain; \
	    echo; build/moira inspect $(DEMO)/best.h5 --routing --data data/demo.h5; \
	} >$(DEMO)/report.txt; cat $(DEMO)/report.txt
	@build/moira report $(DEMO) >/dev/null
	@echo; echo "All of this is in $(DEMO)/report.txt; curves, and what each expert did, for a browser: $(DEMO)/report.html"

# ---- installing: make install [PREFIX=/usr/local] [DESTDIR=] [FLAVOUR=release | portable] ----

PREFIX  ?= /usr/local
DESTDIR ?=
FLAVOUR ?= release
$(if $(filter-out release portable,$(FLAVOUR)),$(error FLAVOUR is $(FLAVOUR); it is release or portable))
INSTALLED := build/$(FLAVOUR)
TO        := $(DESTDIR)$(PREFIX)
HEADERS   := $(wildcard include/moira/*.h)
CONFIGS   := $(wildcard configs/*.yaml configs/models/*.yaml configs/templates/*.json)
ALL_LEVELS  := $(LEVELS:%=lib/glibc-hwcaps/%/$(SONAME))
LEVEL_FILES := $(if $(filter portable,$(FLAVOUR)),$(ALL_LEVELS))
# What `install` makes below $(TO); `uninstall` removes the same.
INSTALLED_FILES := bin/moira lib/libmoira.a lib/libmoira.so lib/$(SONAME) lib/libmoira.so.$(VERSION) lib/pkgconfig/moira.pc \
    $(LEVEL_FILES) $(HEADERS) share/man/man1/moira.1 share/bash-completion/completions/moira share/zsh/site-functions/_moira \
    $(CONFIGS:%=share/moira/%)

define PKG_CONFIG_FILE
prefix=$(PREFIX)
libdir=$${prefix}/lib
includedir=$${prefix}/include

Name: Moira
Description: trains Mixture-of-Experts language models on CPUs
Version: $(VERSION)
Requires.private: $(PKG_CONFIG)
Libs: -L$${libdir} -lmoira
Libs.private: -lgomp -lpthread -lm -ldl -lstdc++
Cflags: -I$${includedir}
endef
export PKG_CONFIG_FILE

install: $(INSTALLED)/moira $(INSTALLED)/libmoira.a $(INSTALLED)/libmoira.so $(LEVEL_FILES:lib/%=$(INSTALLED)/%) ## program, library, headers, manual, completion into PREFIX
	install -d $(addprefix $(TO)/,$(sort $(dir $(INSTALLED_FILES))))
	install -m 755 $(INSTALLED)/moira $(TO)/bin/moira
	install -m 644 $(INSTALLED)/libmoira.a $(TO)/lib/libmoira.a
	install -m 755 $(INSTALLED)/libmoira.so $(TO)/lib/libmoira.so.$(VERSION)
	rm -f $(addprefix $(TO)/,$(ALL_LEVELS))
	for file in $(LEVEL_FILES:lib/%=%); do install -m 755 $(INSTALLED)/$$file $(TO)/lib/$$file; done
	ln -sf libmoira.so.$(VERSION) $(TO)/lib/$(SONAME)
	ln -sf $(SONAME) $(TO)/lib/libmoira.so
	@echo "$$PKG_CONFIG_FILE" >$(TO)/lib/pkgconfig/moira.pc
	install -m 644 $(HEADERS) $(TO)/include/moira
	for config in $(CONFIGS); do install -m 644 $$config $(TO)/share/moira/$$config; done
	$(INSTALLED)/moira help --man >$(TO)/share/man/man1/moira.1
	$(INSTALLED)/moira completion bash >$(TO)/share/bash-completion/completions/moira
	$(INSTALLED)/moira completion zsh >$(TO)/share/zsh/site-functions/_moira
	$(if $(DESTDIR),,$(if $(filter /usr /usr/local,$(PREFIX)),-ldconfig))

uninstall: ## remove what install has put into PREFIX
	rm -f $(addprefix $(TO)/,$(sort $(INSTALLED_FILES) $(ALL_LEVELS)))
	-rmdir --ignore-fail-on-non-empty $(wildcard $(LEVELS:%=$(TO)/lib/glibc-hwcaps/%)) $(TO)/include/moira $(TO)/share/moira/configs/models $(TO)/share/moira/configs/templates \
	    $(TO)/share/moira/configs $(TO)/share/moira

RELEASE_TESTS := $(call programs,release,unit ops e2e)
F64_TESTS     := $(call programs,f64,ops)
GRADCHECK_DIR := build/f64/gradcheck
test: all $(RELEASE_TESTS) $(F64_TESTS) ## unit, op (float and double) and end-to-end tests
	@rm -rf $(GRADCHECK_DIR) && mkdir -p $(GRADCHECK_DIR)
	@MO_GRADCHECK_DIR=$(CURDIR)/$(GRADCHECK_DIR) $(call run,release,$(RELEASE_TESTS) $(F64_TESTS) $(SHELL_TESTS)) && \
	    tests/gradcheck_table.sh -q $(GRADCHECK_DIR)

gradcheck: $(F64_TESTS) ## op tests in double: gradients against central differences, worst error per op
	@rm -rf $(GRADCHECK_DIR) && mkdir -p $(GRADCHECK_DIR)
	@MO_GRADCHECK_DIR=$(CURDIR)/$(GRADCHECK_DIR) $(call run,f64,$(F64_TESTS)); code=$$?; \
	tests/gradcheck_table.sh $(GRADCHECK_DIR) || code=1; exit $$code

# What a library for one level alone gets wrong, and nothing else would see: kernels for narrower vectors.
LEVEL_TESTS := $(foreach level,portable $(filter x86-64-v3,$(LEVELS)),\
    $(patsubst %,build/$(level)/%,$(basename $(wildcard tests/unit/test_gemm*.c tests/unit/test_rows*.c) \
    tests/ops/test_attention tests/ops/test_experts tests/ops/test_linear)))
test-portable: portable $(LEVEL_TESTS) ## the portable build: which library is taken, that all compute the same; kernels of each
	@$(call run,portable,$(PORTABLE_TESTS) $(LEVEL_TESTS))

asan: $(call programs,asan,unit ops e2e) $(call moira,asan) ## all tests under AddressSanitizer
	@TEST_TIMEOUT=900 ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:strict_string_checks=1 \
	    $(call run,asan,$(call programs,asan,unit ops e2e) $(SHELL_TESTS))

ubsan: $(call programs,ubsan,unit ops e2e) $(call moira,ubsan) ## all tests under UndefinedBehaviorSanitizer
	@TEST_TIMEOUT=900 UBSAN_OPTIONS=print_stacktrace=1 \
	    $(call run,ubsan,$(call programs,ubsan,unit ops e2e) $(SHELL_TESTS))

# Archer tells ThreadSanitizer what OpenMP's own barriers order.
ARCHER = $(firstword $(wildcard /usr/lib/llvm-*/lib/libarcher.so))
tsan: check-deps $(call programs,tsan,unit ops) ## unit and op tests under ThreadSanitizer
	@TEST_TIMEOUT=900 OMP_TOOL_LIBRARIES=$(ARCHER) TSAN_OPTIONS=ignore_noninstrumented_modules=1:allocator_may_return_null=1 \
	    $(call run,tsan,$(call programs,tsan,unit ops))

valgrind: check-deps $(call programs,valgrind,unit ops) ## unit and op tests under valgrind
	@TEST_TIMEOUT=1800 TEST_WRAPPER="valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite" \
	    $(call run,valgrind,$(call programs,valgrind,unit ops))

check: deps-check lint | check-deps ## format, warnings of clang, cppcheck, module directions
	clang-format --dry-run -Werror $(OURS)
	cppcheck --quiet -j2 --std=c11 --error-exitcode=1 --enable=warning,performance,portability --inline-suppr \
	    --library=openmp --suppress=missingIncludeSystem -D__x86_64__ -Iinclude -Isrc src

# clang's warnings differ from gcc's; both sizes of mo_real.
lint: $(GEN_H) | deps check-deps
	@printf '%s\n' $(wildcard src/*/*.c tests/*/*.c) | xargs -P2 -I{} sh -ec 'for real in "" -DMO_REAL_DOUBLE; do \
	    clang -fsyntax-only -D_GNU_SOURCE= -DMO_COMMIT="\"\"" -DMO_FLAVOUR="\"\"" $(CPPFLAGS_ALL) $(PKG_CFLAGS) \
	        $(TEST_CPPFLAGS) $(C_ONLY) $(WARNINGS) -fopenmp -march=native $$real {}; done'

deps-check: ## includes against the order of the modules; no printing in the library
	tests/deps_check.sh

format: | check-deps ## clang-format everything in place
	clang-format -i $(OURS)

# ---- speed: make bench [BENCHES="bench-a bench-b-dense"] [BENCH_STEPS=10]; make bench-compare BASE=FOLDER|FILE ----

BENCHES     ?= bench-a bench-a-dense bench-b bench-b-dense bench-c bench-c-dense
BENCH_STEPS ?= 10
bench: all ## time training steps of the benchmarks: tables and figures in build/bench
	@mkdir -p build/bench
	@for name in $(BENCHES); do \
	    build/moira bench configs/$$name.yaml --steps $(BENCH_STEPS) -o build/bench/$$name.json \
	        >build/bench/$$name.txt || exit; \
	    echo "$$name (its ops: build/bench/$$name.txt)"; sed -n '/^step /,$$s/^/  /p' build/bench/$$name.txt; echo; \
	done

NEW = $(if $(wildcard $(BASE)/.),build/bench,build/bench/$(notdir $(BASE)))
bench-compare: all ## what make bench has measured against older figures: BASE=FOLDER or FILE.json
	$(if $(BASE),,$(error which figures? make bench-compare BASE=a folder or file of older ones, as a copy of build/bench))
	build/moira bench --compare $(BASE) $(NEW)

bench-checkpoint: build/release/tests/bench/checkpoint ## what saving a checkpoint costs training, in seconds
	GOMP_SPINCOUNT=1000 $<

# $(call install,packages): only what is missing, only on Debian and its kin, and not at all with NO_DEPS=1.
define install
	@[ -z "$(NO_DEPS)" ] || exit 0; \
	command -v dpkg-query >/dev/null || { echo "not a Debian system; needed here: $(1)"; exit 0; }; \
	missing=; for package in $(1); do \
	    dpkg-query -W -f '$${db:Status-Status}' $$package 2>/dev/null | grep -qx installed || missing="$$missing $$package"; \
	done; \
	[ -n "$$missing" ] || exit 0; \
	echo "installing$$missing"; \
	sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	apt="$$sudo env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120"; \
	$$apt install --no-install-recommends $$missing || { $$apt update && $$apt install --no-install-recommends $$missing; } || \
	{ echo "could not install$$missing: install them by hand, or go on without by NO_DEPS=1"; exit 1; }
endef

deps: ## install the Debian packages that the build needs and this machine lacks
	$(call install,$(PACKAGES))

check-deps: | deps ## the same for make check, tsan and valgrind
	$(call install,$(CHECK_PACKAGES))

clean: ## remove build/
	rm -rf build

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r target text; do \
	    printf '  %-12s %s\n' "$$target" "$$text"; done
