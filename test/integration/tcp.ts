/** The TCP connections between processes, read from /proc; each process is looked at in its own network namespace. */
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'

export const HAS_PROC: boolean = existsSync('/proc/self/net/tcp')

const ESTABLISHED = '01'

interface Socket {
  readonly local: string
  readonly remote: string
}

function socketsOf(pid: number): Socket[] {
  const inodes = new Set(
    readdirSync(`/proc/${pid}/fd`).flatMap((name) => {
      try {
        return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))?.[1] ?? []
      } catch {
        return []
      }
    }),
  )
  const lines = ['tcp', 'tcp6'].flatMap((kind) => {
    const path = `/proc/${pid}/net/${kind}`
    return existsSync(path) ? readFileSync(path, 'utf8').split('\n').slice(1) : []
  })
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === ESTABLISHED && inodes.has(fields[9] ?? ''))
    .map((fields) => ({ local: fields[1]!, remote: fields[2]! }))
}

/** How many connections each pair of processes has, in the order of the pairs (0, 1), (0, 2), ... (1, 2), ... */
export function connectionsOfPairs(pids: readonly number[]): number[] {
  const sockets = pids.map(socketsOf)
  return sockets.flatMap((own, index) =>
    sockets.slice(index + 1).map((others) => {
      const ends = new Set(others.map(({ local, remote }) => `${local} ${remote}`))
      return own.filter(({ local, remote }) => ends.has(`${remote} ${local}`)).length
    }),
  )
}
