/**
 * The thread that watches over a guarded program from inside its process. It has an event loop of its own, so it sees
 * too much memory and the end of the parent even while the program is caught in a loop, and where no other process can.
 */
import { readFileSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { parentPort, workerData } from 'node:worker_threads'
import { LIFELINE_FD, OVER_MEMORY } from './protocol.ts'
import type { GuardianInit } from './protocol.ts'

/** What a program can take between two looks is limited by how fast memory is filled: some 200 MB. */
const LOOK_MS = 25
/** A program whose parent is gone may put away what it has begun; one that is wedged may not stay for it. */
const GRACE_MS = 2_000
const STDERR = 2

const { memory } = workerData as GuardianInit

function end(): void {
  process.kill(process.pid, 'SIGKILL')
}

/**
 * Bytes that this process holds for itself. Pages of mapped files are not counted where the system tells them apart
 * (Linux): the engine maps weights, and the kernel takes such pages back whenever it needs room. A limit on the address
 * space would be no measure at all: V8 reserves gigabytes that it never touches.
 */
function held(): number {
  try {
    const status = readFileSync('/proc/self/status', 'latin1')
    const kilobytes = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1])
    const own = (kilobytes('RssAnon') + kilobytes('RssShmem')) * 1024
    if (Number.isFinite(own)) return own
  } catch {
    // Not Linux: everything that is resident is counted.
  }
  return process.memoryUsage.rss()
}

setInterval(() => {
  const bytes = held()
  if (bytes <= memory) return
  writeSync(STDERR, `\n${OVER_MEMORY} ${bytes}\n`)
  end()
}, LOOK_MS)

const lifeline = new Socket({ fd: LIFELINE_FD, readable: true, writable: false })
lifeline.on('error', () => undefined)
lifeline.on('close', () => {
  parentPort!.postMessage('the parent is gone', [])
  setTimeout(end, GRACE_MS)
})
lifeline.resume()
