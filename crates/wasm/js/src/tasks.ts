/** Waits until tasks that are due have run: clicks, messages, timers. */
export function otherTasks(): Promise<void> {
  // Node's own way. A channel costs it a millisecond, and keeps its process alive.
  if (typeof globalThis.setImmediate === "function") {
    return new Promise((resolve) => void globalThis.setImmediate(resolve));
  }
  channel ??= new Channel();
  return channel.wait();
}

let channel: Channel | undefined;

/** Messages to itself: nested timeouts wait four milliseconds, and `scheduler.yield` goes before messages of others. */
class Channel {
  readonly #waiting: (() => void)[] = [];
  readonly #port: MessagePort;

  constructor() {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => this.#waiting.shift()?.();
    this.#port = port2;
  }

  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#port.postMessage(undefined);
    });
  }
}
