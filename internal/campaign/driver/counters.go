//go:build campaign && !libfuzzer

package driver

/*
#include <stdint.h>

void __sanitizer_cov_8bit_counters_init(uint8_t *start, uint8_t *stop);
*/
import "C"

import "unsafe"

// The counters of the instrumented code begin and end here. With the tag
// libfuzzer the run-time library would tell them, and what is compared too.
//
//go:linkname first internal/fuzz._counters
//go:linkname end internal/fuzz._ecounters
var first, end [0]byte

func init() {
	C.__sanitizer_cov_8bit_counters_init((*C.uint8_t)(unsafe.Pointer(&first)), (*C.uint8_t)(unsafe.Pointer(&end)))
}
