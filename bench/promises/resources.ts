/** What a peer's process holds open: told by itself, since nobody sees timers and channels from outside. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'

/** The program of a peer that writes it to a file of its home when it gets SIGUSR2. */
export const WATCHED: string = fileURLToPath(new URL('watched-peer.ts', import.meta.url))
export const HELD = 'held.json'

export interface Held {
  /** TCP connections and listeners. */
  readonly sockets: number
  readonly timers: number
  /** Channels between peers that are open. */
  readonly streams: number
}

/** The least of a few looks: a heartbeat may be under way. */
export async function heldBy(peer: RealPeer): Promise<Held> {
  const looks = [await look(peer), await look(peer), await look(peer)]
  const least = (of: keyof Held): number => Math.min(...looks.map((one) => one[of]))
  return { sockets: least('sockets'), timers: least('timers'), streams: least('streams') }
}

async function look(peer: RealPeer): Promise<Held> {
  const path = join(peer.home, HELD)
  rmSync(path, { force: true })
  process.kill(peer.pid, 'SIGUSR2')
  let told: Held | undefined
  await until('it has told', () => {
    try {
      told = JSON.parse(readFileSync(path, 'utf8')) as Held
    } catch {
      return false
    }
    return true
  })
  return told!
}
