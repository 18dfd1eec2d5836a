/** The composition root: builds the parts of a peer in order, and ends them in the reverse one. */
import type { Mesh } from '../mesh/index.ts'
import type { Network } from '../net/index.ts'
import type { AnyManifest } from '../models/index.ts'
import { FlowService, RingService } from '../pipeline/index.ts'
import type { DraftHosts, GraphStages, Stages } from '../pipeline/index.ts'
import type { Telemetry } from '../telemetry/index.ts'
import { Adapters } from './adapters.ts'
import { openRollouts } from './rollouts/open-rollouts.ts'
import { auditMode } from './audit.ts'
import { auditMesh } from './audit-heads.ts'
import { auditedControl } from './audited.ts'
import { defaultQuota, DiskKeeper } from './disk-keeper.ts'
import { keepBackups, keeperOf } from './backups/serve.ts'
import { draftsOf } from './drafts-of.ts'
import { FetchedAdapters } from './fetched-adapters.ts'
import { openFederation } from './federated.ts'
import { graphStagesOf } from './graph-stages-of.ts'
import { Holdings, holdersNear } from './holdings.ts'
import { Replacements } from './failover.ts'
import { homePaths, lockHome, prepareHome } from './home.ts'
import { joinMesh } from './join.ts'
import { KeptParts } from './kept-parts.ts'
import type { Library } from './library.ts'
import { libraryOf } from './library-of.ts'
import { LocalPeer } from './local-peer.ts'
import { lowerParts, meshOf, networkNameOf, realNeeds, startNetwork } from './parts.ts'
import type { CreatePeerInit, Parts, PeerNeeds } from './parts.ts'
import { rowGate } from './outliers.ts'
import { Pins } from './pins.ts'
import { placeAskingOf } from './place-asking.ts'
import { divideRange } from './plan-input.ts'
import { Placing } from './placing.ts'
import { PlanMeasures } from './profile-plan.ts'
import { createReplanning } from './create-replanning.ts'
import { Quarantine } from './quarantine.ts'
import { Requests } from './requests.ts'
import { keptOut, reviewOnChange, siteGates } from './site-gates.ts'
import { stagesOf } from './stages-of.ts'
import { trainingOf } from './training-of.ts'
import { Traces } from './traces.ts'
import { Transfers } from './transfers.ts'
import type { HardwareProfile, PeerEvent } from './types.ts'
import { runAll } from './undo.ts'
import { VERSION } from './version.ts'

/** A peer with the parts that an API around it shares. */
export type RunningPeer = Pick<Parts, 'paths' | 'clock' | 'telemetry' | 'logger' | 'site' | 'identity'> & {
  readonly peer: LocalPeer
}

/** @throws HomeBusyError, HomeUnwritableError, and what keys, store and network refuse with */
export async function runPeer(
  init: CreatePeerInit,
  signal?: AbortSignal,
  needs: PeerNeeds = realNeeds(),
): Promise<RunningPeer> {
  const paths = homePaths(init.home, process.env)
  await prepareHome(paths)
  // Alone, a home may be shared: store, cache and manifests are written whole or not at all, and no identity is shown.
  const undo: (() => unknown)[] = init.offline === true ? [] : [await lockHome(paths)]
  try {
    const parts = await lowerParts(init, needs, paths, undo)
    signal?.throwIfAborted()
    const network = init.offline === true ? null : await startNetwork(parts)
    if (network !== null) undo.push(() => network.stop())
    const peer = await upperParts(parts, network, undo)
    signal?.throwIfAborted()
    return { ...parts, peer }
  } catch (error) {
    await runAll(undo)
    throw error
  }
}

/** A peer in a program: `await using peer = await createPeer({ home })`. It does not serve HTTP. */
export async function createPeer(init: CreatePeerInit, signal?: AbortSignal): Promise<LocalPeer> {
  return (await runPeer(init, signal)).peer
}

async function upperParts(parts: Parts, network: Network | null, undo: (() => unknown)[]): Promise<LocalPeer> {
  const { init, paths, clock, random, identity, logger, telemetry, store, name, threads, profiling, site } = parts
  const self = identity.id
  const listeners = new Set<(event: PeerEvent) => void>()
  const emit = (event: string, data: PeerEvent['data']): void => {
    for (const listener of listeners) listener({ event, at: new Date(clock.wall()).toISOString(), data })
  }
  // The parts below need each other's changes: each is reached through `wired` once all of them are there.
  const wired: {
    mesh: Mesh | null
    library?: Library
    holdings?: Holdings
    stages?: Stages
    graphStages?: GraphStages
    drafts?: DraftHosts
    placing?: Placing
    busy?: () => boolean
  } = { mesh: null }
  const transfers = new Transfers(clock)
  const pins = await Pins.open(paths.state, (line) => logger.warn({}, line))
  const keeper = new DiskKeeper({
    clock,
    store,
    paths,
    pins,
    quota: init.disk ?? (await defaultQuota(store, paths)),
    count: (counter, by, labels) => telemetry.count(counter, by, labels),
    log: (fields, text) => logger.info(fields, text),
    models: () => wired.library?.list() ?? [],
    loaded: () => new Set([wired.stages, wired.graphStages].flatMap((each) => each?.digests() ?? [])),
    askToKeep: async (blobs) =>
      (await wired.mesh?.askToKeep(blobs, holdersNear(wired.mesh, wired.library))) ?? new Set<string>(),
    changed: () => wired.holdings?.changed(),
  })
  const rollouts = await openRollouts(parts, wired, emit)
  const adapters = new Adapters(paths.root, store, rollouts)
  const mesh =
    network === null
      ? null
      : meshOf(
          parts,
          network,
          () => wired.library,
          (address) => keeper.promise(address),
          (address) => adapters.modelsOf(address),
        )
  wired.mesh = mesh
  const fetched = new FetchedAdapters({ clock, store, keeper, mesh: () => wired.mesh })
  const library = await libraryOf(parts, {
    mesh: () => wired.mesh,
    transfers,
    keeper,
    baseOf: async (name) => (await adapters.find(name))?.model,
    changed: () => wired.holdings?.changed(),
  })
  wired.library = library
  const profile = (): HardwareProfile => profiling.hardware(library.list())
  const stages = stagesOf(parts, library, profile().memory_quota, {
    changed: () => {
      wired.holdings?.changed()
      emit('stage.changed', { stages: stages.list().length })
    },
    lost: (model, error) => {
      logger.error({ model, err: error }, 'a stage host was lost')
      emit('stage.lost', { model, why: error.message })
    },
    others: (most) => {
      const graphs = wired.graphStages?.giveBack(most) ?? 0
      return graphs + (wired.drafts?.giveBack(Math.max(0, most - graphs)) ?? 0)
    },
    adapter: (wanted, origin) => fetched.get(wanted, origin),
  })
  wired.stages = stages
  undo.push(() => stages.stop())
  const drafts = draftsOf(parts, library, {
    stages,
    memory: profile().memory_quota,
    taken: () => stages.weights + (wired.graphStages?.bytes ?? 0),
  })
  wired.drafts = drafts.hosts
  undo.push(() => drafts.hosts.stop())
  const taken = (most: number): number => stages.weights + drafts.hosts.giveBack(Math.max(0, most - stages.weights))
  const graphStages = graphStagesOf(parts, library, {
    memory: profile().memory_quota,
    taken,
    placing: () => wired.placing,
    changed: () => {
      wired.holdings?.changed()
      emit('stage.changed', { stages: stages.list().length + graphStages.list().length })
    },
  })
  wired.graphStages = graphStages
  undo.push(() => graphStages.stop())
  const holdings = new Holdings({ clock, mesh, library, stages, graphStages, measures: profiling.measures })
  wired.holdings = holdings
  const manifest = (digest: string): AnyManifest | undefined => library.byDigest(digest)
  const measured = new PlanMeasures({ self, clock, mesh, network, profiling, threads, manifest, profile })
  const quarantine = await Quarantine.open(paths.state, clock, (line) => logger.warn({}, line), parts.cluster ?? {})
  undo.push(() => quarantine.settled())
  const gates = siteGates(parts, self, manifest)
  const asking = placeAskingOf(parts, { network, gate: gates, nameOf: (id) => mesh?.profiles().get(id)?.name })
  const planning = { self, mesh, stages, threads, measured, profile, asking, quarantine: keptOut(site, quarantine) }
  const replacements = new Replacements({
    ...planning,
    clock,
    divide: (model, from, to) => divideRange(planning, model, from, to),
  })
  const placing = new Placing({
    ...planning,
    ...gates,
    clock,
    library,
    graphStages,
    repair: (manifest, placed) => replacements.repair(manifest, placed),
    busy: () => wired.busy?.() ?? false,
    mayNotPlace: parts.cluster?.mayNotPlace,
    log: (fields, text) => logger.error(fields, text),
  })
  wired.placing = placing
  const counted = (counter: string, by?: number): void => telemetry.count(counter as 'bytes_sent', by)
  const serving = { self, network, clock, count: counted }
  const ring = new RingService({
    ...gates,
    ...serving,
    stages,
    directory: paths.cache,
    rows: rowGate(parts, () => wired.mesh, emit),
    sign: (bytes) => identity.sign(bytes),
  })
  undo.push(() => ring.stop())
  const flow = new FlowService({ ...gates, ...serving, stages: graphStages })
  undo.push(() => flow.stop())
  const trained = trainingOf(parts, { library, network, taken, gates: { ...gates, ...serving } }, undo)
  const watch = (peer: string): (() => void) =>
    peer === self || network === null ? () => undefined : network.watch(peer)
  const keptParts = new KeptParts({ clock, paths, store, library })
  const count: Telemetry['count'] = (counter, by, labels) => telemetry.count(counter, by, labels)
  const isReachable = (peer: string): boolean => replacements.isReachable(peer)
  const inferring = { ...planning, count, isReachable, clock, random, paths, store, library, placing, flow, watch }
  const traces = new Traces(telemetry)
  const requests = new Requests({
    traces,
    self,
    clock,
    random,
    telemetry,
    ring,
    library,
    drafts,
    adapters,
    placing,
    replacements,
    decoding: { ...inferring, keptParts },
    quarantine,
    site,
    audit: { mode: auditMode(init.audit ?? 'off'), rate: init.auditRate },
    watch,
    emit,
  })
  const replanning = createReplanning({
    mode: init.replan ?? 'on',
    quiet: init.replanQuiet,
    parts: { ...planning, clock, placing, telemetry, manifest, emit },
    requests,
    log: (fields, text) => logger.info(fields, text),
  })
  wired.busy = () => ring.guests + requests.list().length > 0
  const shutdown = async (): Promise<void> => {
    await library.stop()
    replanning?.stop()
    placing.stop()
    holdings.stop()
    await parts.book.save()
    await ring.stop()
    await flow.stop()
    await trained.stop()
    await stages.stop()
    await graphStages.stop()
    await mesh?.stop().catch((error: unknown) => logger.warn({ err: error }, 'the mesh did not end in order'))
    await network?.stop().catch((error: unknown) => logger.warn({ err: error }, 'the network did not end in order'))
    await runAll(undo.splice(0))
  }
  const federation = await openFederation(parts, { network, mesh: () => wired.mesh, library, rollouts }, emit)
  const peer = new LocalPeer({
    federation,
    self,
    home: paths.root,
    name,
    version: VERSION,
    networkName: networkNameOf(parts),
    cluster: parts.cluster === null ? null : auditedControl(site, parts.cluster.control),
    lan: init.lan ?? 'open',
    started: clock.now(),
    clock,
    network,
    mesh,
    library,
    placing,
    replanning,
    stages,
    graphStages,
    drafts,
    holdings,
    requests,
    ring,
    telemetry,
    traces,
    transfers,
    keeper,
    pins,
    profile,
    profiling,
    measured,
    listeners,
    book: parts.book,
    keptParts,
    quarantine,
    site,
    inferring,
    training: { ...inferring, ...trained, replacements, convicted: quarantine },
    shutdown,
  })
  if (network !== null) undo.push(() => federation.stop())
  const lost = [replacements, ring, flow, ...trained.services]
  // Alone, the home may be shared with an import of another process.
  if (network !== null) await library.collect()
  if (mesh !== null && network !== null) {
    undo.push(await auditMesh({ ...parts, mesh, network }))
    keepBackups(keeperOf(parts, network))
    const idle = (): boolean => wired.busy?.() !== true
    parts.cluster?.start(network, mesh, { emit, changed: () => placing.reconcile(), site })
    undo.push(reviewOnChange(parts, [network, mesh, ring, flow, ...trained.services], () => placing.reconcile()))
    undo.push(await joinMesh(parts, { mesh, network, library, placing, measured, lost, profile, idle, emit }))
  }
  holdings.start()
  replanning?.start()
  return peer
}
