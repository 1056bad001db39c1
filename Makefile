# SPDX-License-Identifier: Apache-2.0
# Everything is built below build/.  `make help` lists the targets.
VERSION := 0.1.0
PREFIX ?= /usr/local
BUILD ?= build
CC ?= cc
CLANG ?= clang
BPFTOOL ?= $(or $(shell command -v bpftool),/usr/sbin/bpftool)
CONFIG ?= demo/demo.yaml
FUZZ_SECONDS ?= 60
Q := $(if $(V),,@)

ifdef SAN
comma := ,
override BUILD := build/san-$(subst $(comma),-,$(SAN))
# ThreadSanitizer knows no fence; where we have one, what is between is atomic anyway
SANFLAGS := -fsanitize=$(SAN) $(if $(filter thread,$(SAN)),-Wno-tsan,-fno-sanitize-recover=all)
else
HARDEN := -D_FORTIFY_SOURCE=2 -fstack-protector-strong
endif

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wformat=2 \
	-Wundef -Wpointer-arith -Wwrite-strings $(if $(WERROR),-Werror)
CPPFLAGS := -D_GNU_SOURCE -I. -Iuser -Iproxy -I$(BUILD)
CFLAGS := -std=gnu17 -O2 -g $(WARN) -fPIE $(HARDEN) $(SANFLAGS)
LDFLAGS := -pie -Wl,-z,relro,-z,now $(SANFLAGS)

# clang needs to be told where <asm/types.h> is when it compiles for bpf
BPF_SYS := $(shell $(CLANG) -v -E - </dev/null 2>&1 | \
	sed -n '/<...> search starts here:/,/End of search list/{s|^ \(/.*\)|-idirafter \1|p}')
BPF_CFLAGS := -target bpf -mcpu=v3 -O2 -g -Wall -Wextra -Wno-unused-parameter \
	$(if $(WERROR),-Werror) -I. -Ibpf $(BPF_SYS)

obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

# One archive a folder, the highest floor first.  The linker reads each once, so a call to a
# floor above does not link; tests/lint/house has who may call whom.
FLOORS := user/command proxy/process proxy/control proxy/session proxy/http proxy/backend proxy/decide proxy/tls proxy/net proxy/state proxy/config \
	user/exporter user/show user/load user/book nft user/codec user/base
LIBRARIES := $(foreach f,$(FLOORS),$(BUILD)/lib/$(notdir $(f)).a)
LIBS := -Wl,--as-needed -lbpf -lnftnl -lmnl -ljansson -lcap -lcyaml -lyaml -lpcre2-8 -lssl -lcrypto -lnghttp2 -lcares -lcrypt \
	-luring -lcurl -lmicrohttpd -lsqlite3 -lz -lm -lpthread -ldl
CODECS := $(wildcard user/codec/*.c proxy/config/*.c user/base/*.c) proxy/session/pack.c proxy/state/objects.c

PROGRAMS := $(BUILD)/tollgate $(BUILD)/tollgate-proxy $(BUILD)/tollgate-exporter
TOOLS := $(patsubst %.c,$(BUILD)/%,$(filter-out tests/tools/moment.c,$(wildcard tests/tools/*.c)) tests/proxy-protocol/conform.c) \
	$(BUILD)/tests/tools/moment.so $(addprefix $(BUILD)/tests/bpf/,lossy.bpf.o foreign.bpf.o)
UNITS := $(patsubst %.c,$(BUILD)/%,$(wildcard tests/unit/*/*_test.c))
FUZZERS := $(patsubst tests/fuzz/%.c,build/fuzz/%,$(wildcard tests/fuzz/*/*_fuzz.c))

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all run check docs tsan unit bpf-test bats lint fuzz kernels bench install uninstall clean help deps check-deps

all: $(PROGRAMS)

$(BUILD)/tollgate: $(BUILD)/user/command/tollgate.o
$(BUILD)/tollgate-exporter: $(BUILD)/user/exporter/exporter.o
$(BUILD)/tollgate-proxy: $(BUILD)/proxy/main.o
$(PROGRAMS): $(LIBRARIES)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

MAINS := proxy/main.c user/command/tollgate.c user/exporter/exporter.c
define library
# the folder itself: of a file that is gone nothing stays
$(BUILD)/lib/$(notdir $(1)).a: $(call obj,$(filter-out $(MAINS),$(wildcard $(1)/*.c))) $(1)
	@mkdir -p $$(@D)
	$(Q)rm -f $$@ && ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(FLOORS),$(eval $(call library,$(f))))

$(BUILD)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# the one file that includes the skeleton
$(BUILD)/user/load/programs.o: $(BUILD)/tollgate.skel.h

$(BUILD)/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	@echo "  BPF     $<"
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/tollgate.bpf.o: $(patsubst %.c,$(BUILD)/%.o,$(wildcard bpf/*.bpf.c))
	@echo "  BPFLINK $@"
	$(Q)$(BPFTOOL) gen object $@ $^

$(BUILD)/tollgate.skel.h: $(BUILD)/tollgate.bpf.o
	$(Q)$(BPFTOOL) gen skeleton $< name tollgate_bpf >$@

-include $(shell find build -path build/tools -prune -o -name '*.d' -print 2>/dev/null)

# --- set-up ---------------------------------------------------------------------------

deps:
	$(Q)tests/setup.sh build

check-deps:
	$(Q)tests/setup.sh build check

# sub-makes, because only after deps do the tools exist that the rest asks for
run: deps
	$(Q)$(MAKE) --no-print-directory all
	$(Q)BUILD=$(BUILD) CONFIG=$(CONFIG) $(RUN_IN) demo/run.sh

# --- tests ----------------------------------------------------------------------------

check: check-deps
	$(Q)$(MAKE) --no-print-directory WERROR=1 all $(TOOLS)
	$(Q)BUILD=$(BUILD) MAKE="$(MAKE)" tests/check.sh

# tests and tools are one file each
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(LIBRARIES)
	@echo "  LINK    $@"
	$(Q)$(CC) $(LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS)

# preloaded into the program under test
$(BUILD)/tests/tools/moment.so: tests/tools/moment.c
	@mkdir -p $(@D)
	@echo "  LINK    $@"
	$(Q)$(CC) $(CPPFLAGS) -std=gnu17 -O2 -g $(WARN) -fPIC -shared -o $@ $< -ldl

units: $(UNITS)

unit: $(UNITS)
	$(Q)tests/unit/run.sh $(UNITS)

# what is made from the code's own tables; the unit test compares
docs: $(BUILD)/tests/unit/exporter/metrics_test
	$(Q)METRICS_MD=docs/metrics.md $< >/dev/null

tools: $(TOOLS)

# make bats T="gate takeover": those files; F=REGEX: of these the tests whose name it matches
bats: all $(TOOLS)
	$(Q)TOLLGATE_BUILD=$(BUILD) F="$(F)" tests/bats/run.sh 2 $(patsubst %,tests/bats/%.bats,$(T))

# the frame parser beside the kernel's own run of it
bpf-test: $(BUILD)/tests/bpf/parse_test $(BUILD)/tests/bpf/parse.bpf.o
	$(Q)PARSE_OBJECT=$(BUILD)/tests/bpf/parse.bpf.o tests/unit/run.sh $<

build/fuzz/bpf/parse_fuzz: tests/fuzz/bpf/parse_fuzz.c bpf/parse.h $(wildcard tests/bpf/*.h) build/tests/bpf/parse.bpf.o
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $< -lbpf

build/fuzz/tls/stream_fuzz: tests/fuzz/tls/stream_fuzz.c $(wildcard tests/unit/net/stage.h tests/unit/tls/make.h proxy/tls/*.c \
		proxy/net/*.c) $(CODECS)
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $(filter %.c,$^) $(LIBS)

# all that serves HTTP: from archives of its own, built once
FUZZ_SAN := fuzzer-no-link,address,undefined
FUZZ_FLOORS := session http backend decide tls net config book codec base
FUZZ_LIBRARIES := $(foreach f,$(FUZZ_FLOORS),build/san-fuzzer-no-link-address-undefined/lib/$(f).a)
ifeq ($(SAN),)
$(FUZZ_LIBRARIES) &: $(wildcard proxy/*/*.[ch] user/book/*.[ch] user/codec/*.[ch] user/base/*.[ch] bpf/*.h)
	$(Q)$(MAKE) --no-print-directory SAN=$(FUZZ_SAN) CC=$(CLANG) WARN=-w $(FUZZ_LIBRARIES)
	@touch $(FUZZ_LIBRARIES)
endif

build/fuzz/http/%: tests/fuzz/http/%.c $(wildcard tests/unit/*/stage.h) $(FUZZ_LIBRARIES)
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $< $(FUZZ_LIBRARIES) $(LIBS)

build/fuzz/%: tests/fuzz/%.c $(CODECS)
	@mkdir -p $(@D)
	@echo "  FUZZ    $<"
	$(Q)$(CLANG) $(CPPFLAGS) -std=gnu17 -O1 -g -fsanitize=fuzzer,address,undefined \
		-fno-sanitize-recover=all -o $@ $^ $(LIBS)

# two threads that touch the same word: unit tests, a relay, reloads, upgrades
tsan: all $(TOOLS)
	$(Q)$(MAKE) --no-print-directory SAN=thread unit all
	$(Q)tests/tsan.sh $(BUILD) build/san-thread

fuzzers: $(FUZZERS)

fuzz: $(FUZZERS)
	$(Q)tests/fuzz/run.sh $(FUZZ_SECONDS) $(FUZZERS)

# calls are those of the objects
lint: $(LIBRARIES) $(PROGRAMS)
	$(Q)BUILD=$(BUILD) tests/lint/check.sh

kernels: all $(TOOLS) $(BUILD)/tests/bpf/parse_test $(BUILD)/tests/bpf/parse.bpf.o
	$(Q)tests/setup.sh kernels
	$(Q)BUILD=$(BUILD) tests/kernels/run.sh $(KERNELS)

bench: all $(TOOLS) $(BUILD)/tests/bench/packet $(BUILD)/tests/bench/empty.bpf.o
	$(Q)BUILD=$(BUILD) tests/bench/relay.sh
	$(Q)BUILD=$(BUILD) tests/bench/books.sh
	$(Q)BUILD=$(BUILD) tests/bench/tls.sh
	$(Q)BUILD=$(BUILD) tests/bench/http.sh

# --- installation ---------------------------------------------------------------------

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/share/man/man8 \
		$(DESTDIR)$(PREFIX)/share/man/man5 $(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/doc/tollgate $(DESTDIR)$(PREFIX)/lib/tollgate \
		$(DESTDIR)$(PREFIX)/lib/systemd/system \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/sbin
	install -m 644 $(BUILD)/tollgate.bpf.o $(DESTDIR)$(PREFIX)/lib/tollgate
	install -m 644 user/command/tollgate.8 user/exporter/tollgate-exporter.8 proxy/tollgate-proxy.8 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 proxy/config/tollgate.yaml.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 proxy/control/tollgate-control.7 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 644 contrib/systemd/*.service $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 README.md demo/demo.yaml $(DESTDIR)$(PREFIX)/share/doc/tollgate
	install -m 644 user/command/tollgate.bash-completion \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tollgate

uninstall:
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/sbin/,$(notdir $(PROGRAMS))) \
		$(addprefix $(DESTDIR)$(PREFIX)/share/man/man8/,tollgate.8 tollgate-proxy.8 \
			tollgate-exporter.8) \
		$(DESTDIR)$(PREFIX)/share/man/man5/tollgate.yaml.5 \
		$(DESTDIR)$(PREFIX)/share/man/man7/tollgate-control.7 \
		$(DESTDIR)$(PREFIX)/share/bash-completion/completions/tollgate \
		$(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(notdir $(wildcard contrib/systemd/*.service)))
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/tollgate $(DESTDIR)$(PREFIX)/lib/tollgate

clean:
	rm -rf build

help:
	@echo "make                 build the three programs and build/tollgate.bpf.o"
	@echo "make run             set up, build, run the gate with CONFIG=$(CONFIG) until Ctrl-C"
	@echo "make check           set up, build, run every test"
	@echo "make unit|bpf-test|bats|lint  one part of the tests; make bats T=gate F=REGEX some of it"
	@echo "make docs            write what is made from the code's tables: docs/metrics.md"
	@echo "make kernels          run the kernel-side tests on Debian's 6.1 and 6.12, emulated"
	@echo "make tsan            unit tests, upgrades and reloads under ThreadSanitizer"
	@echo "make fuzz            fuzz every codec for FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make bench           compare relay, TLS and HTTP with HAProxy, nginx and others; the books with none"
	@echo "make install         DESTDIR= PREFIX=$(PREFIX); make uninstall takes it away"
	@echo "make clean           remove build/"
	@echo "V=1 shows commands, WERROR=1 stops at warnings, SAN=address,undefined sanitizes"
