/** Channels about the jobs of a peer: those that it opens to others, and theirs to it. */
import type { Channel } from '../../net/index.ts'
import { JobStateError } from '../plan/errors.ts'
import { pipeOver, pipePair } from '../rounds/pipe.ts'
import type { Pipe } from '../rounds/pipe.ts'
import { FED_PROTOCOL } from '../rounds/wire.ts'
import { answerPipe } from './answering.ts'
import type { Answering } from './answering.ts'
import type { Asking } from './asking.ts'
import type { TestHooks } from './hooks.ts'
import type { FederationNeeds } from './needs.ts'

export class JobLinks {
  readonly #needs: Pick<FederationNeeds, 'identity' | 'clock' | 'network' | 'admits'>
  readonly #answering: Answering
  readonly #hooks: () => TestHooks

  constructor(
    needs: Pick<FederationNeeds, 'identity' | 'clock' | 'network' | 'admits'>,
    jobs: Pick<Answering, 'folders' | 'running'>,
    hooks: () => TestHooks,
  ) {
    this.#needs = needs
    this.#answering = { ...jobs, self: needs.identity.id, admits: needs.admits }
    this.#hooks = hooks
  }

  /** To whoever aggregates: another peer, or this one. */
  async connect(peer: string, job: string, signal: AbortSignal): Promise<Pipe> {
    const { identity, clock, network } = this.#needs
    if (peer !== identity.id) {
      if (network === null) throw new JobStateError(job, 'this peer has no network')
      return this.#kept(pipeOver(clock, await network.open(peer, FED_PROTOCOL, signal)))
    }
    const [mine, theirs] = pipePair(clock, identity.id, identity.id)
    void answerPipe(this.#answering, theirs)
    return this.#kept(mine)
  }

  serve(channel: Channel): void {
    void answerPipe(this.#answering, this.#kept(pipeOver(this.#needs.clock, channel)))
  }

  get asking(): Asking {
    const { clock, network, admits } = this.#needs
    const peers = (): string[] => network?.connected().flatMap(({ id }) => (admits(id) ? [id] : [])) ?? []
    return { clock, peers, network }
  }

  #kept(pipe: Pipe): Pipe {
    return this.#hooks().recorded?.(pipe) ?? pipe
  }
}
