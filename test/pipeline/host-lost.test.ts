/** A stage host that was killed: whoever sends to it is told that the host is lost, not that a socket closed. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { frame } from '../../src/net/index.ts'
import { HOST } from '../../src/pipeline/host/protocol.ts'
import { startStageHost } from '../../src/pipeline/host/stage-host.ts'
import { systemClock } from '../../src/util/index.ts'

let directory: string

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-host-lost-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

it('names its end to all who send, from the first send that fails to those after it', async () => {
  for (let round = 0; round < 3; round++) {
    const host = startStageHost({ clock: systemClock(), codeCache: join(directory, 'code') })
    process.kill(host.pid, 'SIGKILL')
    let failure: unknown
    while (failure === undefined) {
      await nextTurn()
      failure = await host.send(frame({ type: HOST.close, request: 1 })).catch((error: unknown) => error)
    }
    expect(failure).toMatchObject({ code: 'WEFT-INF-021' })
    await expect(host.send(frame({ type: HOST.close, request: 1 }))).rejects.toMatchObject({ code: 'WEFT-INF-021' })
    await expect(host.stats()).rejects.toMatchObject({ code: 'WEFT-INF-021' })
    expect(await host.ended).toMatchObject({ code: 'WEFT-INF-021' })
  }
})
