package dir

import (
	"os"
	"syscall"
	"unsafe"
)

type iocb struct {
	data    uint64
	key     uint32
	rwFlags uint32
	opcode  uint16
	reqprio int16
	fd      uint32
	buf     uint64
	nbytes  uint64
	offset  int64
	_       uint64
	flags   uint32
	resfd   uint32
}
type ioEvent struct {
	data, obj uint64
	res, res2 int64
}
type aio struct {
	ctx uintptr
	ev  *os.File
	efd int
	cb  iocb
	p   *iocb
	out ioEvent
	b   [8]byte
}

func newAIO() *aio {
	a := &aio{}
	if _, _, e := syscall.Syscall(syscall.SYS_IO_SETUP, 8, uintptr(unsafe.Pointer(&a.ctx)), 0); e != 0 {
		panic(e)
	}
	fd, _, e := syscall.Syscall(syscall.SYS_EVENTFD2, 0, syscall.O_NONBLOCK|syscall.O_CLOEXEC, 0)
	if e != 0 {
		panic(e)
	}
	a.efd = int(fd)
	a.ev = os.NewFile(fd, "eventfd")
	return a
}

func (a *aio) writeSync(fd int, p []byte, at int64) error {
	a.cb = iocb{rwFlags: 2, opcode: 1, fd: uint32(fd), buf: uint64(uintptr(unsafe.Pointer(&p[0]))), nbytes: uint64(len(p)), offset: at, flags: 1, resfd: uint32(a.efd)}
	a.p = &a.cb
	n, _, e := syscall.Syscall(syscall.SYS_IO_SUBMIT, a.ctx, 1, uintptr(unsafe.Pointer(&a.p)))
	if e != 0 || n != 1 {
		return e
	}
	if _, err := a.ev.Read(a.b[:]); err != nil {
		return err
	}
	n, _, e = syscall.RawSyscall6(syscall.SYS_IO_GETEVENTS, a.ctx, 1, 1, uintptr(unsafe.Pointer(&a.out)), 0, 0)
	if n != 1 {
		return e
	}
	if a.out.res < 0 {
		return syscall.Errno(-a.out.res)
	}
	return nil
}
