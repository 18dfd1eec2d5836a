/** A TCP proxy before a peer: the way to it that a test can cut, freeze and mend, while its other connections stay. */
import { connect, createServer } from 'node:net'
import type { AddressInfo, Socket } from 'node:net'
import { once } from 'node:events'

export interface Proxy {
  /** Multiaddr to announce in place of the peer's own. */
  readonly address: string
  /** To which port it leads; 0: nobody. */
  target: number
  /** Connections that are there now. */
  readonly connections: number
  /** Connections that came so far. */
  readonly arrived: number
  /** Ends all connections, and every new one at once. */
  cut(): void
  /** Carries nothing more and says nothing, as a cable that was pulled; new connections as well. */
  freeze(): void
  /** From now on a second takes so many bytes, each way of each connection. */
  slow(bytesPerSecond: number): void
  mend(): void
  stop(): Promise<void>
}

export async function startProxy(): Promise<Proxy> {
  const pairs = new Set<readonly [Socket, Socket]>()
  let state: 'open' | 'cut' | 'frozen' = 'open'
  let arrived = 0
  let pace = Infinity
  const server = createServer((near) => {
    arrived++
    near.on('error', () => near.destroy())
    if (state === 'cut' || proxy.target === 0) {
      near.destroy()
      return
    }
    const far = connect(proxy.target, '127.0.0.1')
    const pair = [near, far] as const
    pairs.add(pair)
    for (const [one, other] of [pair, [far, near]] as const) {
      one.on('error', () => one.destroy())
      one.on('close', () => {
        other.destroy()
        pairs.delete(pair)
      })
      one.on('data', (bytes) => {
        if (state !== 'frozen') other.write(bytes)
        if (pace === Infinity) return
        one.pause()
        setTimeout(() => one.resume(), (bytes.length / pace) * 1000)
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const end = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy()
  }
  const proxy: Proxy = {
    address: `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`,
    target: 0,
    get connections() {
      return pairs.size
    },
    get arrived() {
      return arrived
    },
    cut() {
      state = 'cut'
      end()
    },
    freeze: () => void (state = 'frozen'),
    slow: (bytesPerSecond) => void (pace = bytesPerSecond),
    mend() {
      // what was lost in between cannot be made good: such a connection is over
      if (state === 'frozen') end()
      state = 'open'
    },
    async stop() {
      end()
      const closed = once(server, 'close')
      server.close()
      await closed
    },
  }
  return proxy
}
