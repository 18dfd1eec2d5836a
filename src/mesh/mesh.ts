/** The mesh: records, gossip, liveness and blobs of one peer put together. */
import type { AnyManifest } from '../models/index.ts'
import type { Membership } from '../net/index.ts'
import { createTokenBucket } from '../util/index.ts'
import { addressesOf, createAcquaint } from './acquaint.ts'
import { createBlobServer } from './blob-server.ts'
import { MeshStoppedError } from './errors.ts'
import { createFetcher } from './fetcher.ts'
import { Gossip } from './gossip.ts'
import { createIntake } from './intake.ts'
import type { Judged } from './intake.ts'
import { createLiveness } from './liveness.ts'
import { createListeners } from './listeners.ts'
import { findManifest } from './find-manifest.ts'
import { FULL_MESH, THERE_BEATS } from './limits.ts'
import type { MeshNeeds } from './needs.ts'
import { createOwnRecords } from './own-records.ts'
import { standingPlacements } from './placements.ts'
import { createPublisher } from './publisher.ts'
import { RecordBook } from './record-book.ts'
import type { StoredRecord } from './stored-record.ts'
import { createStateFile } from './state-file.ts'
import type { Mesh } from './types.ts'
import { createTakeOver } from './take-over.ts'
import { heartbeatMs, Upkeep } from './upkeep.ts'
import { createViews } from './views.ts'

const EVERYONE: Membership = { epoch: 0, admits: () => true, isRemoved: () => false }

export function createMesh(needs: MeshNeeds): Mesh {
  const { clock, logger, network, random } = needs
  const { count } = needs.telemetry
  const self = needs.identity.id
  const membership = needs.membership ?? EVERYONE
  const listeners = createListeners(logger)
  let running = false

  const changed = (record: StoredRecord): void => {
    if (record.kind === 'placement') state.changed()
    if (record.kind === 'placement' && record.author !== self) count('placements_changed')
    listeners.emit('changed', record.kind, record.key, record.author)
  }
  const isNear = (peer: string): boolean => peer === self || liveness.isConnected(peer)
  const book = new RecordBook({ clock, isNear, changed })
  const liveness = createLiveness(
    {
      network,
      clock,
      isRemoved: (peer) => membership.isRemoved(peer),
      isDraining: (peer) => book.find('profile', peer)?.body.state === 'draining',
      // In a smaller mesh all are connected to all, and who is not is away.
      isToldOf: (peer, after) =>
        book.size > FULL_MESH &&
        book.silence(peer) < Math.min(clock.now() - after, THERE_BEATS * heartbeatMs(book.size)),
    },
    {
      joined(peer) {
        book.shadows.recall(peer)
        gossip.meet(peer)
        listeners.emit('joined', peer)
      },
      left(peer, farewell) {
        book.heard(peer, 0)
        gossip.leave(peer)
        listeners.emit('left', peer, farewell)
      },
    },
  )
  const views = createViews(self, book, liveness)
  const own = createOwnRecords({
    signer: needs.identity,
    clock,
    book,
    published: (record) => {
      state.changed()
      gossip.push(record.id)
    },
  })
  const state = createStateFile(needs.files, logger, () => ({
    highest: own.highest(),
    placements: [...standingPlacements(book).values()].map(({ bytes }) => bytes),
  }))
  const intake = createIntake({ self, clock, book, membership })
  const publisher = createPublisher({ self, clock, own, book, levels: needs.levels })
  const upkeep = new Upkeep({ network, clock, book, publisher, logger, isNear })
  const takeOver = createTakeOver({
    self,
    book,
    own,
    membership,
    logger,
    connected: () => liveness.connections().keys(),
  })
  const acquaint = createAcquaint({ network, clock, random, book, liveness })
  const fetcher = createFetcher({
    ...needs,
    lied: (peer, address, index, why) => listeners.emit('lied', peer, address, index, why),
  })
  const server = createBlobServer({
    ...needs,
    count,
    mayHave: needs.serves ?? (() => true),
    promise: needs.promise ?? (() => true),
    upload: createTokenBucket(clock, needs.uploadLimit ?? Infinity),
    rotten(address, index) {
      count('chunks_rotten')
      logger.warn({ address, index }, 'a chunk in the store of this peer has gone bad')
      listeners.emit('rotten', address, index)
    },
  })

  const offer = (bytes: Uint8Array, age: number, from: string): Judged => {
    const judged = intake.offer(bytes, age, from)
    const { verdict, why, record } = judged
    if (verdict === 'accepted') count('records_accepted')
    if (verdict === 'refused' || verdict === 'limited' || verdict === 'forged') {
      count('records_refused')
      logger.debug({ peer: from, verdict, why, kind: record?.kind, author: record?.author }, 'a record was not taken')
    }
    if (verdict === 'own' && record !== undefined) publisher.reclaim(record)
    if (verdict === 'accepted' && record?.kind === 'profile') acquaint.heardOf(record.author)
    return judged
  }

  const gossip = new Gossip({
    network,
    clock,
    random,
    book,
    isConnected: (peer) => liveness.isConnected(peer),
    connected: () => liveness.connections().keys(),
    offer,
    farewell: (peer) => liveness.farewell(peer),
    round: () => {
      upkeep.round()
      takeOver()
      acquaint.look()
    },
  })
  const off = network.on({
    addresses: () => {
      if (running) upkeep.refreshProfile()
    },
  })

  const whileRunning = async <Result>(action: () => Promise<Result>): Promise<Result> => {
    if (!running) throw new MeshStoppedError()
    return action()
  }

  return {
    id: self,
    ...views,
    async start() {
      const kept = await state.read()
      own.restore(kept.highest)
      for (const bytes of kept.placements) intake.restore(bytes)
      running = true
      server.start()
      gossip.start()
      liveness.start()
      network.lookUp((peer) => addressesOf(book, peer))
    },
    async stop() {
      if (!running) return
      await upkeep.drain()
      running = false
      off()
      acquaint.stop()
      await gossip.stop()
      await server.stop()
      liveness.stop()
      await state.flush()
    },
    review() {
      for (const author of book.authors())
        if (author !== self && !membership.admits(author, 'connect'))
          for (const { id, kind } of book.recordsOf(author)) if (kind !== 'placement') book.drop(id)
      if (running) takeOver()
    },
    announceLeaving: () => whileRunning(() => upkeep.drain()),
    publishProfile: (profile) => whileRunning(() => upkeep.publishProfile(profile)),
    publishHoldings: (holdings) => whileRunning(() => publisher.holdings(holdings)),
    publishPlacement: (model, init) => whileRunning(() => publisher.placement(model, init)),
    withdrawPlacement: (model) => whileRunning(() => publisher.withdrawPlacement(model)),
    announceManifest: (manifest) => whileRunning(() => publisher.manifest(manifest)),
    withdrawManifest: (digest) => whileRunning(() => publisher.withdrawManifest(digest)),
    publishAudit: (record) => whileRunning(() => publisher.audit(record)),
    publishImport: (source, record) => whileRunning(() => publisher.importing(source, record)),
    settled: (milliseconds, signal) => whileRunning(() => gossip.settled(milliseconds, signal)),
    fetchManifest: (name, options = {}) =>
      whileRunning((): Promise<AnyManifest> => findManifest({ ...needs, self, views, fetcher }, name, options.signal)),
    askToKeep: (blobs, peers) => whileRunning(() => fetcher.askToKeep(blobs, peers)),
    fetchTensors: (blobs, holders, options = {}) => whileRunning(() => fetcher.tensors(blobs, holders, options)),
    on: listeners.on,
  }
}
