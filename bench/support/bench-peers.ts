/** Peers of this process for a bench: a mesh of their own over TCP on the loopback. */
import { join } from 'node:path'
import { createPeer } from '../../src/peer/index.ts'
import type { LocalPeer } from '../../src/peer/index.ts'

/** Bytes that each may use: enough for what the benches train. */
const MEMORY = 4 * 2 ** 30

export interface BenchPeers {
  /** All that were started. */
  readonly all: readonly LocalPeer[]
  /** In a home of its own below the folder. */
  readonly start: (name: string, threads: number, bootstrap?: readonly string[]) => Promise<LocalPeer>
}

export function benchPeers(folder: string): BenchPeers {
  const all: LocalPeer[] = []
  return {
    all,
    async start(name, threads, bootstrap = []) {
      const made = await createPeer({
        home: join(folder, name),
        name,
        network: `bench-${process.pid}`,
        lan: 'off',
        listen: ['/ip4/127.0.0.1/tcp/0'],
        bootstrap,
        threads,
        memory: MEMORY,
      })
      all.push(made)
      return made
    },
  }
}
