/**
 * What says that a process ended for lack of memory: the kernel's count of such ends in the process's group, or words of V8, of Node
 * and of the engine. That it was killed says nothing: anybody may do that.
 */
import { readFileSync, writeFileSync } from 'node:fs'

/** V8's heap, Node's buffers, C++ in the engine, the engine's own arena. */
const WORDS =
  /FATAL ERROR: .*(?:heap limit|out of memory)|Fatal process out of memory|Array buffer allocation failed|std::bad_alloc|Failed to allocate memory for requested buffer/

/** Of 1,000: the kernel takes a process with this much more of it before one with less. */
const SCORE = 300

/** The line of what a process said at its end that tells of a lack of memory. */
export function memoryWords(said: string): string | undefined {
  return said
    .split('\n')
    .find((line) => WORDS.test(line))
    ?.trim()
}

/** How many processes of this one's group the kernel has ended for lack of memory; undefined where nothing tells. */
export function oomKills(): number | undefined {
  const groups = textOf('/proc/self/cgroup')
    .split('\n')
    .map((line) => line.split(':'))
  const pathOf = (isIt: (controllers: string) => boolean): string =>
    groups
      .find(([, controllers]) => controllers !== undefined && isIt(controllers))
      ?.slice(2)
      .join(':') ?? ''
  const first = pathOf((controllers) => controllers.split(',').includes('memory'))
  const second = pathOf((controllers) => controllers === '')
  // In a container the group's own folder may be the root of what is mounted. Without groups: the whole machine's count.
  const places = [
    `/sys/fs/cgroup/memory${first}/memory.oom_control`,
    `/sys/fs/cgroup${second}/memory.events`,
    '/sys/fs/cgroup/memory/memory.oom_control',
    '/sys/fs/cgroup/memory.events',
    '/proc/vmstat',
  ]
  for (const place of places) {
    const count = /^oom_kill (\d+)$/m.exec(textOf(place))?.[1]
    if (count !== undefined) return Number(count)
  }
  return undefined
}

/** Where memory runs out the kernel ends this child before its peer, which can start it again. */
export function endsFirst(pid: number): void {
  const own = Number(textOf('/proc/self/oom_score_adj') || 0)
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(Math.min(1000, own + SCORE)))
  } catch {
    // Another system, or it has ended already.
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
