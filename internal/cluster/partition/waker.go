package partition

// Waker is left on partitions by a fetch that found too little: the first one whose high watermark, start, role or health changes fires it. It may then be left again.
type Waker struct{ c chan struct{} }

// NewWaker returns a waker that has not fired.
func NewWaker() *Waker { return &Waker{c: make(chan struct{}, 1)} }

// C receives one value per firing; firings between two receives are one.
func (w *Waker) C() <-chan struct{} { return w.c }

func (w *Waker) fire() {
	select {
	case w.c <- struct{}{}:
	default:
	}
}

// Watch leaves a waker on the partition until it fires once or Unwatch takes it away.
func (p *Partition) Watch(w *Waker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.wakers = append(p.mu.wakers, w)
}

// Unwatch takes a waker away, if it is still there.
func (p *Partition) Unwatch(w *Waker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := p.mu.wakers[:0]
	for _, x := range p.mu.wakers {
		if x != w {
			kept = append(kept, x)
		}
	}
	clear(p.mu.wakers[len(kept):])
	p.mu.wakers = kept
	if len(kept) == 0 && cap(kept) > keptWaiters {
		p.mu.wakers = nil
	}
}

// Watched tells how many wakers wait.
func (p *Partition) Watched() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.wakers)
}
