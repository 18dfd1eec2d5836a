/** How much memory a process and all that it started hold at most, looked at again and again. Linux: from /proc. */
import { readdirSync, readFileSync } from 'node:fs'

export interface PeakMemory {
  /** Resident bytes of all together, pages of mapped files too. */
  readonly resident: number
  /** As the guard of children counts: without pages of mapped files, which the kernel takes back when it needs room. */
  readonly own: number
}

const LOOK_MS = 20

/** @returns how to end it, with what was the most */
export function watchMemory(root: number): () => PeakMemory {
  let peak: PeakMemory = { resident: 0, own: 0 }
  const look = (): void => {
    let [resident, own] = [0, 0]
    for (const pid of family(root)) {
      const status = read(`/proc/${pid}/status`)
      const bytes = (field: string): number =>
        Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1] ?? 0) * 1024
      resident += bytes('VmRSS')
      own += bytes('RssAnon') + bytes('RssShmem')
    }
    peak = { resident: Math.max(peak.resident, resident), own: Math.max(peak.own, own) }
  }
  const timer = setInterval(look, LOOK_MS)
  return () => {
    clearInterval(timer)
    return peak
  }
}

/** The process, and those that it and its children have started. */
function family(root: number): number[] {
  const parents = new Map<number, number[]>()
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const stat = read(`/proc/${name}/stat`)
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
    parents.set(parent, [...(parents.get(parent) ?? []), Number(name)])
  }
  const found = [root]
  for (let at = 0; at < found.length; at++) found.push(...(parents.get(found[at]!) ?? []))
  return found
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
