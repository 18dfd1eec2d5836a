/**
 * Every counter and gauge that weft has, once, as data (histograms stand beside them): used for registration, for the snapshot and for docs. Prometheus base
 * units; labels are bounded, and never hold a prompt, a user or a request id.
 */

/** Allowed values, or how many different ones are kept before the rest becomes `other`. */
export type LabelRule = readonly string[] | number

export interface MetricRow {
  readonly help: string
  /** Unit of a counter that is not a plain number of events; part of its exported name. */
  readonly unit?: 'bytes' | 'seconds'
  readonly labels?: Readonly<Record<string, LabelRule>>
}

/** Models that get a series of their own: more than a peer serves at once, few enough for any store of metrics. */
export const MODELS = 32
/** Error codes: the whole catalogue is near 150. */
export const CODES = 200
const ROUTES = 64
const STATUSES = 40

export const COUNTERS = {
  failovers: { help: 'Stages replaced in the middle of a request.' },
  replayed_rows: { help: 'Boundary rows fed again to a replacement stage.' },
  failovers_inexact: { help: 'Of these, by a peer with other kernels: the text may differ from here on.' },
  hand_overs: { help: 'Stages of running requests that moved because their peer was about to leave.' },
  texts_outgrown: {
    help: 'Texts that outgrew the first context of their model, and began anew with the factors of longer ones.',
  },
  rows_spilled: { help: 'Kept boundary rows that went to the disk, since memory for them is bounded.' },
  retries: { help: 'Frames or requests sent again.' },
  prefix_hits: { help: 'Rows of prompts that every stage of the route had already, as origin.' },
  draft_tokens: { help: 'Tokens proposed by speculation.' },
  draft_accepted: { help: 'Proposed tokens that the model confirmed.' },
  draft_model_tokens: { help: 'Of the proposed, those of a draft model.' },
  draft_model_accepted: { help: 'Of the confirmed, those of a draft model.' },
  draft_off: { help: 'Times that a draft model had lost too much of an answer, and stopped for a while.' },
  draft_windows: { help: 'Steps that went with guesses.' },
  draft_windows_ahead: { help: 'Of these, those that were sent while others of their answer were under way.' },
  draft_windows_void: { help: 'Of these, those that came to nothing since a guess before them was wrong.' },
  draft_narrowed: {
    help: 'Times that windows in flight had lost too much of an answer, and one went at a time for a while.',
  },
  echo_windows: { help: 'Steps over several tokens of prompts whose likelihoods were asked for.' },
  draft_sessions: { help: 'Sessions of draft models for answers of this peer.' },
  draft_sessions_freed: { help: 'Of these, those that have ended.' },
  batched_rows: { help: 'Rows that ran together with rows of another session.' },
  batch_lines: { help: 'Requests of batches that have a result.', labels: { outcome: ['ok', 'failed'] } },
  yielded_rows: { help: 'Rows of the batch lane that waited while rows of others ran.' },
  pieced_rows: {
    help: 'Rows of prompts that a stage ran in several pieces, since all at once would have made others wait for too long.',
  },
  fitted_rows: {
    help: 'Rows of runs whose graph was loaded for their number of sessions, since others had left slots empty.',
  },
  gathered_rows: { help: 'Rows of steps that waited a moment for those of sessions that they ran with last.' },
  spun_rows: { help: 'Rows of runs whose threads spun, where that was measured to be faster.' },
  narrow_rows: { help: 'Rows of runs with fewer threads than their stage has, where that was measured to be faster.' },
  void_rows: {
    help: 'Rows behind guesses that were wrong: dropped where they waited, or nothing was chosen behind them.',
  },
  single_rows: { help: 'Rows alone in a run that the matrices took without a dummy row beside them.' },
  rows: { help: 'Rows that stages of this peer computed.' },
  graph_runs: { help: 'Runs of parts of other models than language models on this peer.' },
  graph_stages_loaded: { help: 'Parts of such models that were built and loaded here.' },
  embedded_texts: { help: 'Texts that encoders made vectors of, as origin.' },
  embedded_tokens: { help: 'Tokens of these texts.' },
  boundary_bytes: { help: 'Bytes of tensors that went in and out of these parts.', unit: 'bytes' },
  state_kept: { help: 'Tensors of state (KV caches) that stayed in the part that computes with them.' },
  backup_claims: {
    help: 'Claims of backups that are kept for another identity.',
    labels: { outcome: ['ok', 'refused'] },
  },
  backup_files_kept: { help: 'Files of backups of other peers that were taken in.' },
  adapter_sessions: { help: 'Answers that were asked of a model with an adapter.' },
  rollout_candidates: { help: 'Rounds of federations that were tried.' },
  rollouts_promoted: { help: 'Of them, those that serve since.' },
  rollouts_back: { help: 'Rounds that were taken back, before they served or after.' },
  canary_requests: { help: 'Answers that were made with a round that was being tried.' },
  canary_failures: { help: 'Of these, those that failed by no fault of who asked.' },
  training_hosts: { help: 'Training hosts started.' },
  training_sessions: { help: 'Training sessions of layers, and of shares of steps, opened here.' },
  gradient_batches: { help: 'Micro-batches of shares of steps whose gradients were computed here.' },
  sharers_returned: { help: 'Peers that share the steps of a run of this peer, lost and there again.' },
  micro_batches: {
    help: 'Micro-batches of training runs of this peer that were sent to their first stage, or to who shares the steps.',
  },
  forward_rows: { help: 'Rows that went forward through stages here for training.' },
  early_rows: {
    help: 'Micro-batches that came to a stage here before the step that they are of, and were kept for it.',
  },
  backward_rows: { help: 'Rows whose gradients went back through stages here.' },
  gradient_bytes: { help: 'Bytes of gradients that peers told training runs of this peer.' },
  shares_recomputed: { help: 'Shares of data-parallel steps that another line or peer computed.' },
  steps_replayed: { help: 'Training steps that were made again because a stage was lost.' },
  parts_opened: { help: 'Such parts opened for requests.' },
  parts_freed: { help: 'Such parts freed again.' },
  bytes_sent: { help: 'Bytes of frames sent to other peers.' },
  bytes_received: { help: 'Bytes of frames received from other peers.' },
  frames_sent: { help: 'Frames sent to other peers.' },
  frames_received: { help: 'Frames received from other peers.' },
  frames_refused: { help: 'Frames refused: malformed, oversized, stale or not admitted.' },
  frames_fenced: { help: 'Frames of an attempt that was already replaced.' },
  frames_repeated: { help: 'Rows of a session that came once more, and were taken in once.' },
  audits: { help: 'Checks of a stage that another peer computes, by somebody who computed the same rows.' },
  audited_rows: { help: 'Rows computed twice to check a peer, and found equal.' },
  audit_mismatches: { help: 'Checks that found rows which are not what others compute.' },
  audit_skipped: {
    help: 'Checks that came to nothing.',
    labels: { reason: ['nobody', 'refused', 'lost', 'moved', 'disputed'] },
  },
  policy_refused: {
    help: 'Requests that the policy of this site refused.',
    labels: { action: ['connect', 'relay', 'place', 'compute', 'fetch', 'route', 'train', 'data'] },
  },
  audit_alarms: {
    help: 'Audit logs that are not what peers saw of them: this one, or that of another peer.',
    labels: { kind: ['forked', 'shortened', 'rewritten'] },
  },
  policy_reloads: { help: 'Changes of the policy that came into force while this peer ran.' },
  activation_outliers: {
    help: 'Frames of rows from other peers that were not computed with: no numbers, zeros, or far from what their boundary carries.',
    labels: { kind: ['not-finite', 'zeros', 'small', 'large'] },
  },
  peers_quarantined: { help: 'Peers that were found to have signed what is not so.' },
  requests_queued: { help: 'Generations that waited for room in the stages, as origin.' },
  requests_refused: { help: 'Generations that were told to come again: the queue for room was full, or too long.' },
  sessions_opened: { help: 'Sessions opened in stages of this peer.' },
  sessions_freed: { help: 'Sessions freed in stages of this peer.' },
  cancelled_sessions: { help: 'Sessions freed before their end: client gone, deadline, lost peer.' },
  step_time: {
    help: 'Where steps of decoding spent their time, as origin: at the origin, between peers, in queues, computing, in peers.',
    unit: 'seconds',
    labels: { part: ['origin', 'wire', 'queue', 'compute', 'serialize'] },
  },
  stage_time: {
    help: 'Time in which steps of decoding were under way, as origin, for each stage: busy for the answer, or idle (a bubble).',
    unit: 'seconds',
    labels: { part: ['busy', 'bubble'] },
  },
  requests_started: { help: 'Generations that this peer took as origin.' },
  requests_completed: { help: 'Generations that ended with their text.' },
  requests_failed: { help: 'Generations that ended with an error.', labels: { code: CODES } },
  prompt_tokens: { help: 'Tokens of prompts taken as origin.', labels: { model: MODELS } },
  completion_tokens: { help: 'Tokens generated as origin.', labels: { model: MODELS } },
  peers_found: { help: 'Peers found nearby, each once a way.', labels: { by: ['mdns', 'rendezvous'] } },
  peers_joined: { help: 'Peers that joined.' },
  bans: {
    help: 'Hosts and peers kept out for a while.',
    labels: { offence: ['dial-storm', 'malformed', 'scan', 'probing', 'outlier', 'flood'] },
  },
  arrivals_refused: {
    help: 'Connections that were turned away before their first byte, since too many had come.',
  },
  protocols_unknown: { help: 'Names of protocols that peers asked for and nobody here speaks, and lists of names.' },
  handshakes_queued: { help: 'Handshakes of those who came that waited for others before them.' },
  bans_spared: {
    help: 'Bans that did not begin since they would have been of an admin of the cluster, or of the host of a member.',
    labels: { offence: ['dial-storm', 'malformed', 'scan', 'probing', 'outlier', 'flood'] },
  },
  identities_cloned: { help: 'Times that one identity was met in two places.' },
  peers_lost: { help: 'Peers that were connected and went away without a farewell.' },
  peers_refused: { help: 'Peers seen and not joined.', labels: { code: CODES } },
  members_cut: { help: 'Peers that were connected and cut off because the membership does not admit them any more.' },
  members_refused: { help: 'Connections of removed members that were cut off before they could say anything.' },
  membership_entries: { help: 'Entries of the membership log that came from other members.' },
  certificates_renewed: {
    help: 'Certificates of members that this peer, as an admin, has signed since they were due.',
  },
  certificates_taken: { help: 'Certificates of members that came and were news.' },
  certificates_refused: { help: 'Certificates that came and do not hold, by the clock here or by the log.' },
  certificate_refusals: { help: 'What was refused to a member, or by this peer, since a certificate was over.' },
  membership_forks: { help: 'Forks of the membership log that were found.' },
  enrolments: {
    help: 'Invites that were handed in, by what came of it.',
    labels: { outcome: ['joined', 'refused', 'again', 'waits'] },
  },
  invites_voided: {
    help: 'Open invites that ended because this home turned out to have been put back from an older copy.',
  },
  dials: { help: 'Dials to other peers.', labels: { outcome: ['ok', 'failed'] } },
  lanes_opened: { help: 'Lanes (connections of their own for a channel between two peers) that were opened.' },
  lanes_missed: { help: 'Channels that became an ordinary stream because no lane could be had.' },
  relayed_connections: { help: 'Connections to other peers that joined through a relay.' },
  direct_returns: { help: 'Direct connections that took over from a relayed one.' },
  holes_punched: {
    help: 'Direct connections between two peers that nobody can dial, which both have made at once, by what came of it.',
    labels: { outcome: ['ok', 'failed'] },
  },
  relay_reservations: { help: 'Places that this peer keeps as a relay for peers that cannot be dialled.' },
  relay_circuits: { help: 'Circuits that this peer has carried as a relay.' },
  relay_refused: { help: 'Places and circuits that this peer refused as a relay.' },
  relay_bytes: { help: 'Bytes that this peer has carried as a relay, both ways.', unit: 'bytes' },
  dial_backs: {
    help: 'Dials to find out for another peer whether it can be dialled.',
    labels: { outcome: ['ok', 'failed'] },
  },
  probes: {
    help: 'Probes of the bandwidth to another peer: sent, and of others served or refused.',
    labels: { outcome: ['sent', 'served', 'refused'] },
  },
  measurements: {
    help: 'Measurements of this device that were made; what was kept from before is not measured again.',
    labels: { what: ['kernel', 'blocks'] },
  },
  routes_doubted: {
    help: 'Silences of a running request upon which the peers of its route were asked at once whether they are there.',
  },
  heartbeats_missed: { help: 'Heartbeats on active routes that did not come in time.' },
  heartbeats_second: {
    help: 'Heartbeats on lines that lose packets that came in time over a second connection alone.',
  },
  records_accepted: { help: 'Signed records taken from other peers.' },
  records_refused: { help: 'Records refused: bad signature, stale, oversized.' },
  replans: {
    help: 'Decisions about placements that this peer has acted on: to load stages elsewhere, to take them up, to give up.',
    labels: { action: ['prepare', 'switch', 'abandon'] },
  },
  replans_held: {
    help: 'Better placements that were not taken up, each once for a reason and an epoch.',
    labels: { why: ['pinned', 'gain', 'room', 'cost', 'quiet', 'undo', 'refused', 'loading'] },
  },
  speed_probes: { help: 'Short answers over peers that had become slow, to see whether they have recovered.' },
  moves_bytes: { help: 'Bytes of tensors that peers had to fetch for such moves.', unit: 'bytes' },
  placements_refused: { help: 'Answers of peers whose policy does not let this one place a model there.' },
  placements_changed: { help: 'New placements taken up.' },
  stages_loaded: { help: 'Stages loaded on this peer.' },
  stages_from_cache: { help: 'Stages loaded without packing a weight.' },
  stages_prepacked: { help: 'Stages whose weights are mapped as the kernels pack them, without a copy in memory.' },
  weights_verified: {
    help: 'Files of weights read through before they were used: once a start of the system, and when touched.',
  },
  weights_damaged: { help: 'Cached weights that were not what had been written, and were made again.' },
  blobs_damaged: { help: 'Tensors on the disk that were not those of their address, and were thrown away.' },
  stage_restarts: { help: 'Stage hosts started again after they ended or hung.' },
  blobs_received: { help: 'Blobs fetched from peers or sources.' },
  blobs_served: { help: 'Blobs served to peers.' },
  blob_bytes_received: { help: 'Bytes of blobs fetched.', unit: 'bytes' },
  blob_bytes_served: { help: 'Bytes of blobs served.', unit: 'bytes' },
  chunks_refused: { help: 'Chunks whose hash was not the announced one.' },
  chunks_fetched: { help: 'Chunks fetched from peers, verified and new here.' },
  chunks_resumed: { help: 'Chunks that interrupted transfers had left, verified again and not fetched again.' },
  chunks_duplicated: { help: 'Chunks asked of a second peer because the first was slow.' },
  bytes_refetched: { help: 'Bytes of chunks that were of no use: cut off, wrong, or here already.', unit: 'bytes' },
  chunks_rotten: { help: 'Chunks of this peer that had gone bad on its disk, found when another complained.' },
  blobs_evicted: { help: 'Blobs removed to keep to the disk quota; other peers hold them.' },
  blobs_collected: { help: 'Blobs removed at the start because no model has them: left by a killed import.' },
  blobs_reused: { help: 'Blobs of imported bundles that were in the store already, and sound.' },
  imports_shared: { help: 'Imports that came from the mesh because another peer fetched the source.' },
  imports_taken_over: { help: 'Imports begun because the peer that fetched the source before had gone.' },
  models_imported: { help: 'Models imported.' },
  models_measured: { help: 'Models whose weight formats were measured at import.' },
  ranges_measured: {
    help: 'Models whose range was measured at import, by the threads that loaded layers in turn.',
    labels: { threads: ['1', '2'] },
  },
  import_children: { help: 'Child processes started to open model files and to measure their range.' },
  import_children_ended: {
    help: 'Such processes that ended before their work: over their memory, without progress, or by themselves.',
    labels: { why: ['memory', 'silence', 'died'] },
  },
  http_requests: { help: 'HTTP requests answered.', labels: { route: ROUTES, status: STATUSES } },
  http_refused: { help: 'HTTP requests refused before any work.', labels: { code: CODES } },
  http_clients_gone: { help: 'Clients that closed the connection before the end of their answer.' },
  http_clients_stalled: { help: 'Clients cut because they did not read.' },
  streams_orphaned: { help: 'Streamed answers that waited for a client that had gone.' },
  streams_resumed: { help: 'Streamed answers that a client went on with after it had been cut off.' },
  events_replayed: { help: 'Events sent again, or for the first time, to such clients.' },
  journal_restored: { help: 'Of these answers, those computed again after a restart, from the journal.' },
} as const satisfies Record<string, MetricRow>

export type CounterName = keyof typeof COUNTERS

export interface GaugeRow extends MetricRow {
  readonly exported?: string
}

export const GAUGES = {
  build_info: { help: 'Constant 1; the labels say what runs.', labels: { version: 4, node: 4 } },
  peers: { help: 'Other peers known.', labels: { state: ['connected', 'connecting', 'away', 'draining'] } },
  stages: { help: 'Stages served by this peer.' },
  sessions: { help: 'Sessions open in stages of this peer.' },
  requests_running: { help: 'Generations in flight as origin.' },
  requests_waiting: { help: 'Generations waiting for a place.' },
  kv_cache_bytes: { help: 'Bytes of KV caches on this peer.' },
  stage_memory_bytes: { help: 'Resident bytes of stage hosts.' },
  training_sessions_open: { help: 'Training sessions that are open at stages here.' },
  training_session_bytes: {
    help: 'Bytes that such sessions hold beside the weights: adapters, their gradients, and rows on their way.',
  },
  store_bytes: { help: 'Bytes of this home that count for its disk quota, as they were when somebody asked before.' },
  model_blocks_covered: { help: 'Blocks of a model that ready stages cover.', labels: { model: MODELS } },
  http_in_flight: { help: 'HTTP requests that make the peer work.' },
  log_lines_lost: { help: 'Log lines that could not be written since the start.' },
  event_loop_delay: {
    help: 'How late the event loop of this peer was, in seconds, since it was asked for last.',
    exported: 'weft_event_loop_delay_seconds',
    labels: { quantile: ['0.5', '0.99', '1'] },
  },
  process_resident_memory: {
    help: 'Resident bytes of the peer process.',
    exported: 'process_resident_memory_bytes',
  },
  process_start_time: {
    help: 'Start of this telemetry, seconds since 1970.',
    exported: 'process_start_time_seconds',
  },
} as const satisfies Record<string, GaugeRow>

export type GaugeName = keyof typeof GAUGES
