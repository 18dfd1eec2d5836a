/** What can be done to a peer on a host of its own, and how it is undone. */
import { endProcess } from '../../test/integration/support.ts'
import type { RealPeer } from '../../test/integration/support.ts'
import { processesOf, stopped } from '../promises/processes.ts'
import type { Field } from '../promises/field.ts'

export const KINDS = ['kill', 'freeze', 'cut', 'wedge', 'host', 'leave'] as const
export type Kind = (typeof KINDS)[number]

export interface Target {
  readonly name: string
  /** Of netlab. */
  readonly host: number
  readonly peer: RealPeer
}

/** As `createField` was given it. */
export const LINK = ['--rtt', '4'] as const

/** @returns how to undo it; who is there afterwards in its place */
export function inflict(field: Field, { name, host, peer }: Target, kind: Kind): () => Promise<RealPeer> {
  const again = async (): Promise<RealPeer> => {
    await endProcess(peer.child)
    return field.start(name, host)
  }
  const same = (undo: () => void) => (): Promise<RealPeer> => {
    undo()
    return Promise.resolve(peer)
  }
  if (kind === 'kill' || kind === 'leave') {
    peer.child.kill(kind === 'kill' ? 'SIGKILL' : 'SIGTERM')
    return again
  }
  if (kind === 'cut') {
    field.netlab('link', String(host), ...LINK, '--loss', '100')
    return same(() => field.netlab('link', String(host), ...LINK))
  }
  if (kind === 'freeze') return same(woken(stopped(peer)))
  const hosts = processesOf(peer).slice(1)
  for (const pid of hosts) signal(pid, kind === 'host' ? 'SIGKILL' : 'SIGSTOP')
  return same(kind === 'host' ? () => undefined : woken(hosts))
}

/** Of those that are still there. */
function woken(all: readonly number[]): () => void {
  return () => {
    for (const pid of all) signal(pid, 'SIGCONT')
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
