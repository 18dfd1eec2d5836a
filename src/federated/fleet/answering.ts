/** What other peers ask of this one: documents about jobs, and its part as an aggregator. */
import { JobRefusedError, RoundAbortedError } from '../plan/errors.ts'
import type { Coordinator } from '../rounds/coordinator.ts'
import type { GossipHost } from '../rounds/gossip-host.ts'
import type { Message, Pipe } from '../rounds/pipe.ts'
import { bodyOf, sendRefusal } from '../rounds/wire.ts'
import { documentOf } from './asking.ts'
import { checkJoin } from './documents.ts'
import { lookUp } from './finding.ts'
import type { GoneMembers } from './leaving.ts'
import type { JobFolder } from './job-folder.ts'

/** Characters of an id or a name. */
const MOST_NAME = 200
/** First message of a channel. */
const FIRST_MS = 10_000

interface Running {
  readonly coordinator: Coordinator
  /** Where the plan is a gossip. */
  readonly gossip?: { readonly host: GossipHost } | undefined
  readonly standing: { readonly base: number }
  readonly gone: GoneMembers
}

export interface Answering {
  readonly folders: ReadonlyMap<string, JobFolder>
  /** Jobs that this peer takes part in now. */
  readonly running: ReadonlyMap<string, Running>
  readonly self: string
  readonly admits: (peer: string) => boolean
}

/** A channel that another peer has opened; whatever it says, this one goes on. */
export async function answerPipe(answering: Answering, pipe: Pipe): Promise<void> {
  try {
    const message = await pipe.next(FIRST_MS)
    if (message.kind !== 'hello') {
      await answerAsk(answering, pipe, message)
      return
    }
    const hello = bodyOf('hello', message)
    const running = answering.running.get(hello.job)
    if (running !== undefined) {
      if (hello.gossip === undefined) await running.coordinator.accept(pipe, hello)
      else if (running.gossip === undefined)
        await sendRefusal(pipe, new JobRefusedError(hello.job, 'it has one model'), false)
      else await running.gossip.host.accept(pipe, hello)
      running.gone.heard(pipe.remote)
      return
    }
    const error = new RoundAbortedError(hello.next, 'hello', 'this peer takes no part in the job now')
    await sendRefusal(pipe, error, false)
  } catch (error) {
    if (pipe.isOpen) await sendRefusal(pipe, error, error instanceof JobRefusedError)
    pipe.close()
  }
}

/** What another peer asks of this one. @throws JobUnknownError, JobAmbiguousError, JobRefusedError */
async function answerAsk({ folders, running, self, admits }: Answering, pipe: Pipe, message: Message): Promise<void> {
  const { job, what } = message.body
  if (!admits(pipe.remote)) throw new JobRefusedError(String(job).slice(0, 40), `${pipe.remote} is no member`)
  const folder = lookUp(folders, String(job).slice(0, MOST_NAME))
  const reply = (document: unknown): Promise<void> =>
    pipe.send('document', {}, Buffer.from(JSON.stringify(document ?? null)))
  if (message.kind === 'ask' && what === 'offer') await reply(folder.offer)
  else if (message.kind === 'ask' && what === 'start') await reply(folder.start)
  else if (message.kind === 'ask' && what === 'part') await reply(running.get(folder.id)?.standing.base)
  else if (message.kind === 'join' && folder.offer.author === self) {
    const join = checkJoin(documentOf(message), folder.offer)
    if (join.peer !== pipe.remote) throw new JobRefusedError(folder.id, 'a join is of somebody else')
    if (folder.start === undefined && !folder.joins.has(join.peer)) await folder.addJoin(join)
    await reply(folder.start)
  } else if (message.kind === 'leave') {
    if (folder.start === undefined) await folder.removeJoin(pipe.remote)
    else running.get(folder.id)?.gone.left(pipe.remote)
    await reply(null)
  } else await sendRefusal(pipe, new JobRefusedError(folder.id, `"${message.kind}" is no question`), false)
}
