/** A thread with a share of the virtual clients of a simulation. Its messages are answered one after the other. */
import { parentPort, workerData } from 'node:worker_threads'
import { errorData } from '../../errors.ts'
import { createOrtEngine } from '../../onnx/index.ts'
import { Inbox, systemClock } from '../../util/index.ts'
import { RoundMath } from '../rounds/math.ts'
import { decodeState } from '../rounds/state.ts'
import { LocalPool } from './pool.ts'
import { simulationJob } from './spec.ts'
import type { ShareAnswer, ShareMessage } from './thread-share.ts'
import { openVirtualClients } from './virtual-clients.ts'
import type { VirtualInit } from './virtual-clients.ts'

const init = workerData as VirtualInit
const port = parentPort!
const inbox = new Inbox<ShareMessage>()
port.on('message', (message: ShareMessage) => inbox.push(message))
const answer = (message: ShareAnswer): void => port.postMessage(message, [])

async function serve(): Promise<void> {
  const { list, whole } = await openVirtualClients({ clock: systemClock(), engine: createOrtEngine() }, init)
  const math = new RoundMath(init.plan, init.spec.clients, simulationJob(init.spec.seed))
  const pool = new LocalPool(list, math, init.spec.seed, init.from, whole)
  try {
    answer({ records: pool.records })
    for (;;) {
      const message = await inbox.take()
      if ('end' in message) return
      if ('commit' in message) await pool.commit(message.commit)
      else answer({ contributions: await pool.prepare(message.round, decodeState(message.state), message.clients) })
    }
  } finally {
    await pool.close()
  }
}

try {
  await serve()
} catch (error) {
  answer({ error: errorData(error) })
}
port.close()
