//go:build campaign

// Package driver runs a fuzz target under libFuzzer.
package driver

/*
#include <stdint.h>
#include <stdlib.h>

extern int one(uint8_t *input, size_t size);

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *end);
int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *, size_t));

static int drive(int argc, char **argv) {
	return LLVMFuzzerRunDriver(&argc, &argv, (int (*)(const uint8_t *, size_t))one);
}
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// What the environment says.
var (
	arguments = os.Getenv("CAMPAIGN_ARGUMENTS") // of libFuzzer
	folder    = os.Getenv("CAMPAIGN_FOLDER")    // of this target
	worker    = os.Getenv("CAMPAIGN_WORKER")    // not empty: a goroutine of its own runs the body
	translate = os.Getenv("CAMPAIGN_TRANSLATE") // not empty: where to write the last input, for go test
)

const longest = 1 << 20 // bytes of an input

// An F stands in for a [testing.F].
type F struct {
	*testing.T
	seeds [][]byte
}

// Add is [testing.F.Add].
func (f *F) Add(arguments ...any) { f.seeds = append(f.seeds, pack(arguments)) }

// Fuzz is [testing.F.Fuzz]. It does not return: the first failure ends the
// process, which leaves the input in the folder as "last", also where it crashes.
func (f *F) Fuzz(body any) {
	call := reflect.ValueOf(body)
	kinds := make([]reflect.Type, call.Type().NumIn()-1)
	for i := range kinds {
		kinds[i] = call.Type().In(i + 1)
	}
	if translate != "" {
		last, err := os.ReadFile(filepath.Join(folder, "last"))
		must(err)
		size := binary.NativeEndian.Uint64(last)
		must(os.WriteFile(translate, []byte(corpusFile(unpack(kinds, last[8:8+size]))), 0o666))
		os.Exit(0)
	}
	last := f.remember()
	t := reflect.ValueOf(f.T)
	try = func(input []byte) {
		binary.NativeEndian.PutUint64(last, uint64(len(input)))
		copy(last[8:], input)
		returned := false
		defer func() {
			failure := recover()
			if failure != nil {
				fmt.Printf("panic: %v\n%s", failure, debug.Stack())
			}
			if !returned || f.Failed() {
				os.Exit(1)
			}
		}()
		call.Call(append([]reflect.Value{t}, unpack(kinds, input)...))
		returned = true
	}
	if worker != "" {
		go func() {
			for input := range inputs {
				try(input)
				tried <- struct{}{}
			}
		}()
	}
	f.drive()
}

// remember returns memory that outlives the process.
func (f *F) remember() []byte {
	file, err := os.Create(filepath.Join(folder, "last"))
	must(err)
	defer file.Close()
	must(file.Truncate(8 + longest))
	last, err := syscall.Mmap(int(file.Fd()), 0, 8+longest, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	return last
}

func (f *F) drive() {
	seeds, corpus := filepath.Join(folder, "seeds"), filepath.Join(folder, "corpus")
	must(os.MkdirAll(seeds, 0o777))
	must(os.MkdirAll(corpus, 0o777))
	for i, seed := range f.seeds {
		must(os.WriteFile(filepath.Join(seeds, fmt.Sprint(i)), seed, 0o666))
	}
	words := append(append([]string{"campaign"}, strings.Fields(arguments)...), corpus, seeds)
	argv := unsafe.Slice((**C.char)(C.calloc(C.size_t(len(words)+1), C.size_t(unsafe.Sizeof((*C.char)(nil))))), len(words)+1)
	for i, word := range words {
		argv[i] = C.CString(word)
	}
	C.__sanitizer_cov_8bit_counters_init((*C.uint8_t)(unsafe.Pointer(&counters)), (*C.uint8_t)(unsafe.Pointer(&countersEnd)))
	os.Exit(int(C.drive(C.int(len(words)), &argv[0])))
}

// Where the linker puts the counters of what was compiled with -d=libfuzzer.
//
//go:linkname counters internal/fuzz._counters
//go:linkname countersEnd internal/fuzz._ecounters
var counters, countersEnd [0]byte

var (
	try    func(input []byte)
	inputs = make(chan []byte)
	tried  = make(chan struct{})
)

//export one
func one(input *C.uint8_t, size C.size_t) C.int {
	if in := unsafe.Slice((*byte)(unsafe.Pointer(input)), int(size)); worker != "" {
		inputs <- in
		<-tried
	} else {
		try(in)
	}
	return 0
}

// pack makes one input of the arguments: those of a fixed size first, then the
// strings and bytes, each but the last with its length.
func pack(arguments []any) []byte {
	var fixed, strung []byte
	left := 0
	for _, argument := range arguments {
		if isStrung(reflect.TypeOf(argument)) {
			left++
		}
	}
	for _, argument := range arguments {
		v := reflect.ValueOf(argument)
		if !isStrung(v.Type()) {
			fixed, _ = binary.Append(fixed, binary.LittleEndian, sized(v).Interface())
			continue
		}
		b := v.Convert(reflect.TypeFor[[]byte]()).Bytes()
		if left--; left > 0 {
			strung = binary.LittleEndian.AppendUint16(strung, uint16(len(b)))
		}
		strung = append(strung, b...)
	}
	return append(fixed, strung...)
}

func isStrung(t reflect.Type) bool { return t.Kind() == reflect.String || t.Kind() == reflect.Slice }

// sized is v, of a type whose size is the same everywhere.
func sized(v reflect.Value) reflect.Value {
	if v.Kind() == reflect.Int {
		return v.Convert(reflect.TypeFor[int64]())
	}
	return v
}

// unpack is the reverse of pack. What is missing is zero.
func unpack(kinds []reflect.Type, input []byte) []reflect.Value {
	take := func(size int) []byte {
		b := make([]byte, size)
		input = input[copy(b, input):]
		return b
	}
	values := make([]reflect.Value, len(kinds))
	left := 0
	for i, kind := range kinds {
		if isStrung(kind) {
			left++
			continue
		}
		value := reflect.New(sized(reflect.Zero(kind)).Type())
		binary.Decode(take(binary.Size(value.Elem().Interface())), binary.LittleEndian, value.Interface())
		values[i] = value.Elem().Convert(kind)
	}
	for i, kind := range kinds {
		if !isStrung(kind) {
			continue
		}
		size := len(input)
		if left--; left > 0 {
			size = int(binary.LittleEndian.Uint16(take(2)))
		}
		values[i] = reflect.ValueOf(take(min(size, len(input)))).Convert(kind)
	}
	return values
}

// corpusFile is what go test reads in testdata/fuzz.
func corpusFile(values []reflect.Value) string {
	text := "go test fuzz v1\n"
	for _, v := range values {
		if isStrung(v.Type()) {
			text += fmt.Sprintf("%v(%q)\n", v.Type(), v.Interface())
		} else {
			text += fmt.Sprintf("%v(%v)\n", v.Type(), v.Interface())
		}
	}
	return strings.ReplaceAll(text, "[]uint8(", "[]byte(")
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
