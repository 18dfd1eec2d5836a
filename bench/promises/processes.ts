/** A peer with all of its processes: stopped and killed together, as a machine stops. */
import { readdirSync, readFileSync } from 'node:fs'
import type { RealPeer } from '../../test/integration/support.ts'

/** The peer and its children. */
export function processesOf({ pid }: RealPeer): number[] {
  const parents = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => [Number(name), parentOf(name)] as const)
  return [pid, ...parents.filter(([, parent]) => parent === pid).map(([child]) => child)]
}

/** All of them, stopped. @returns them */
export function stopped(peer: RealPeer): number[] {
  const all = processesOf(peer)
  for (const one of all) process.kill(one, 'SIGSTOP')
  return all
}

function parentOf(pid: string): number {
  try {
    return Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1])
  } catch {
    return 0
  }
}
