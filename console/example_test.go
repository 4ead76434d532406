package console_test

import "github.com/seed287501ae/sockets/console"

func Example() {
	name, err := console.Input("Your name: ")
	if err != nil {
		return // Ctrl+D, or Ctrl+C
	}
	for line := range console.Lines() {
		console.Printf("%s said: %s", name, line)
	}
	console.Println("Goodbye")
}

func ExamplePrintln() {
	console.Println("Mallory:", "\x1b[2J\x1b[31mboo")
	// Output: Mallory: \u{1b}[2J\u{1b}[31mboo
}
