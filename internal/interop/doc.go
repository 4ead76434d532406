// Package interop holds tests only: the Go examples chat with twin.py, a
// program in Python 3 that speaks the chats' two wire formats and shares no
// line with them. What both understand is what the course says, not what one
// author thought.
//
// The tests are skipped where there is no python3. The twin needs nothing but
// its standard library, and takes its orders and tells what it hears in lines
// of JSON: its docstring lists them.
package interop
