import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { runGuarded, systemClock } from '../../src/util/index.ts'
import type { GuardedInit, GuardedOutcome } from '../../src/util/index.ts'
import { ended, isRunning } from './support/processes.ts'

const folder = mkdtempSync(join(tmpdir(), 'weft-guarded-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

/** The process that was started last. */
let pid = 0

function run(mode: string, more: Partial<GuardedInit> = {}, signal?: AbortSignal): Promise<GuardedOutcome> {
  const init: GuardedInit = {
    program: join(import.meta.dirname, 'support', 'guarded.ts'),
    input: { mode },
    memory: 1 << 29,
    silence: 60_000,
    codeCache: join(folder, 'code'),
    ...more,
    onStart: (started) => {
      pid = started
      more.onStart?.(started)
    },
  }
  return runGuarded({ clock: systemClock() }, init, signal)
}

describe('a guarded program', () => {
  it('gives its events and its result, and nothing that a library prints is taken for either', async () => {
    const events: unknown[] = []
    const outcome = await run('noise', { onEvent: (event) => events.push(event) })
    expect(outcome).toEqual({ kind: 'result', value: { mode: 'noise', kept: 0 } })
    expect(events).toEqual(['begun'])
    expect(isRunning(pid)).toBe(false)
  })

  it('gives its error as data', async () => {
    expect(await run('throw')).toMatchObject({
      kind: 'error',
      error: { code: 'WEFT-INT-001', message: 'as it was told' },
    })
  })

  it('is ended when its buffers go beyond the memory that it may hold', async () => {
    const outcome = await run('buffers', { memory: 200 << 20 })
    expect(outcome).toMatchObject({ kind: 'ended', end: { why: 'memory', pid, signal: 'SIGKILL' } })
  })

  it('is ended when its objects do', async () => {
    const outcome = await run('objects', { memory: 160 << 20 })
    expect(outcome).toMatchObject({ kind: 'ended', end: { why: 'memory', pid } })
  })

  it('is ended when it makes no progress, caught in a loop or stopped by the system', async () => {
    const silent = { kind: 'ended', end: { why: 'silence', signal: 'SIGKILL' } }
    expect(await run('loop', { silence: 2_000 })).toMatchObject(silent)
    const stop = (): void => void process.kill(pid, 'SIGSTOP')
    expect(await run('wait', { silence: 2_000, onEvent: stop })).toMatchObject(silent)
    expect(isRunning(pid)).toBe(false)
  })

  it('is told of when it is killed or ends without a word', async () => {
    const kill = (): void => void process.kill(pid, 'SIGKILL')
    expect(await run('wait', { onEvent: kill })).toMatchObject({ end: { why: 'died', signal: 'SIGKILL' } })
    expect(await run('crash')).toMatchObject({ end: { why: 'died', code: 7, last: 'the last word' } })
    expect(await run('wait', { program: join(folder, 'none.ts') })).toMatchObject({ end: { why: 'died', code: 1 } })
  })

  it('is ended when it says more than a message has', async () => {
    expect(await run('long line')).toMatchObject({ end: { why: 'died', last: 'it said what is no message' } })
  })

  it('is ended with the caller who gives up, and with one whose listener fails', async () => {
    const controller = new AbortController()
    const stop = (): void => controller.abort(new Error('enough'))
    await expect(run('loop', { onEvent: stop }, controller.signal)).rejects.toThrow('enough')
    expect(isRunning(pid)).toBe(false)
    await expect(run('wait', {}, controller.signal)).rejects.toThrow('enough')
    const fail = (): void => {
      throw new Error('the listener fails')
    }
    await expect(run('wait', { onEvent: fail })).rejects.toThrow('the listener fails')
    expect(isRunning(pid)).toBe(false)
  })

  it.skipIf(process.platform !== 'linux')(
    'is listened to until its end, also when it has been killed meanwhile',
    async () => {
      const controller = new AbortController()
      const events: unknown[] = []
      const onEvent = (event: unknown): void => {
        events.push(event)
        // Blocked, so that all the rest is said before the kill is sent.
        while (events.length === 1 && isRunning(pid)) continue
        controller.abort(new Error('enough'))
      }
      await expect(run('many', { onEvent }, controller.signal)).rejects.toThrow('enough')
      expect(events).toEqual(['begun', 0, 1, 2, 3, 4])
    },
  )

  it.each(['wait', 'loop'])('ends by itself when its parent is killed: %s', async (mode) => {
    const parent = spawn(process.execPath, [join(import.meta.dirname, 'support', 'guarded-parent.ts'), mode, folder], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [said] = (await once(parent.stdout, 'data')) as [Buffer]
    const child = Number(said.toString())
    expect(isRunning(child)).toBe(true)
    parent.kill('SIGKILL')
    await once(parent, 'close')
    await ended(child)
    expect(isRunning(child)).toBe(false)
  })
})
