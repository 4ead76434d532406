// Package endurance has only tests: of sockets on a real kernel, with crowds,
// churn and faults. Those of go test are short. These make them a campaign:
//
//	CHURN=100000 CROWD=10000 go test -v ./internal/endurance
//
// CHURN is how many connections are made and ended, CROWD how many are open at
// once; each of two processes needs as many descriptors. The network with faults
// is a network namespace of the test's own, which needs Linux, the right to make
// one, and the commands ip and nft.
package endurance
