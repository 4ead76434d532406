//go:build campaign

// Package driver runs a fuzz target under libFuzzer.
package driver

/*
#include <stdint.h>
#include <stdlib.h>

extern int one(uint8_t *input, size_t size);

int LLVMFuzzerRunDriver(int *argc, char ***argv, int (*one)(const uint8_t *, size_t));

static int drive(int argc, char **argv) {
	return LLVMFuzzerRunDriver(&argc, &argv, (int (*)(const uint8_t *, size_t))one);
}
*/
import "C"

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"
)

// What the environment says.
var (
	arguments = os.Getenv("CAMPAIGN_ARGUMENTS") // of libFuzzer
	folder    = os.Getenv("CAMPAIGN_FOLDER")    // of this target
	worker    = os.Getenv("CAMPAIGN_WORKER")    // not empty: a goroutine of its own runs the body
	translate = os.Getenv("CAMPAIGN_TRANSLATE") // not empty: where to write the last input, for go test
)

const (
	room     = 1 << 20           // bytes for an input
	none     = math.MaxUint64    // where the size of the last input is: there was none
	patience = 100 * time.Second // for one input
)

// An F stands in for a [testing.F]. Its bodies must not skip, and what they leave
// to t.Cleanup is never called.
type F struct {
	*testing.T
	seeds [][]byte
}

// Add is as that of testing.F. What is in testdata/fuzz is not read.
func (f *F) Add(arguments ...any) { f.seeds = append(f.seeds, pack(arguments)) }

// Fuzz is as that of testing.F, but does not return: the first failure ends the
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
		if size == none {
			os.Exit(1)
		}
		must(os.MkdirAll(filepath.Dir(translate), 0o777))
		must(os.WriteFile(translate, []byte(corpusFile(unpack(kinds, last[8:8+size]))), 0o666))
		os.Exit(0)
	}
	last := f.remember()
	var count atomic.Int64
	go watch(&count)
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
		count.Add(1)
	}
	if worker != "" {
		go func() {
			for input := range inputs {
				try(input)
				tried <- struct{}{}
			}
		}()
	}
	signal.Ignore(os.Interrupt) // the command kills
	f.drive()
}

// watch panics where the count of executions stands still.
func watch(count *atomic.Int64) {
	for last := int64(-1); last != count.Load(); time.Sleep(patience) {
		last = count.Load()
	}
	debug.SetTraceback("all")
	panic(fmt.Sprintf("an input takes more than %v", patience))
}

// remember returns memory that outlives the process.
func (f *F) remember() []byte {
	file, err := os.Create(filepath.Join(folder, "last"))
	must(err)
	defer file.Close()
	must(file.Truncate(8 + room))
	last, err := syscall.Mmap(int(file.Fd()), 0, 8+room, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	must(err)
	binary.NativeEndian.PutUint64(last, none)
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
	os.Exit(int(C.drive(C.int(len(words)), &argv[0])))
}

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
		switch v.Kind() {
		case reflect.String:
			text += fmt.Sprintf("string(%q)\n", v)
		case reflect.Slice:
			text += fmt.Sprintf("[]byte(%q)\n", v)
		default:
			text += fmt.Sprintf("%v(%v)\n", v.Type(), v)
		}
	}
	return text
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
