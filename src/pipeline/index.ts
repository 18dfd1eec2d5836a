/** Routes, sessions, stages and batching. */
export { GREEDY } from './types.ts'
export type {
  AnswerFormat,
  AuditMode,
  ChatMessage,
  GenerateEvent,
  GenerateRequest,
  GenerateStats,
  Lane,
  PlacementFile,
  PlacementStage,
  Priority,
  PromptInput,
  RouteHop,
  SamplingOptions,
  SpeculateMode,
  TokenLogprob,
  Tool,
  ToolCall,
} from './types.ts'
import { TRAIN_LINE_ERRORS } from './adapters/errors.ts'
import { STAGE_ERRORS } from './errors.ts'
import { GRADIENT_ERRORS } from './gradients/errors.ts'
import { GRAPH_ERRORS } from './graph/errors.ts'
import { HOST_ERRORS } from './host/errors.ts'
import { GRAMMAR_ERRORS } from './host/grammar/errors.ts'
import { StageHostError, StageHostLostError } from './host/host-errors.ts'
import { ORIGIN_ERRORS } from './origin/errors.ts'
import { RING_ERRORS } from './ring/errors.ts'
import type { ErrorInfo } from '../errors.ts'

export { TrainHosts } from './adapters/hosts.ts'
export type { MeshLineNeeds } from './adapters/line-run.ts'
export { MeshLine } from './adapters/mesh-line.ts'
export { TrainService } from './adapters/service.ts'
export type { TrainServiceNeeds } from './adapters/service.ts'
export { GradientHosts } from './gradients/hosts.ts'
export { hostedEngine } from './gradients/hosted-engine.ts'
export { MeshGradients } from './gradients/mesh-gradients.ts'
export type { Sharer } from './gradients/mesh-gradients.ts'
export { GradientService } from './gradients/service.ts'
export { CancelledError, MemoryQuotaError, StageMemoryError } from './errors.ts'
export { GraphUncheckedError } from './graph/errors.ts'
export { splitFile } from './graph/prepare/child.ts'
export { openDecoding } from './graph/decode/session.ts'
export { openSurviving } from './graph/decode/surviving.ts'
export { GraphPipeline } from './graph/graph-pipeline.ts'
export type { GraphPipelineNeeds, Inference, InferenceHop, InferenceStats, OpenGraph } from './graph/graph-pipeline.ts'
export { inferOverMesh, loadOverMesh } from './graph/mesh/infer.ts'
export type { MeshPart } from './graph/mesh/infer.ts'
export { FlowService } from './graph/mesh/service.ts'
export { GraphStages } from './graph/mesh/stages.ts'
export { runOnFile } from './graph/prepare/child.ts'
export { prepareGraph } from './graph/prepare/prepare.ts'
export type { Prepared, PrepareRequest } from './graph/prepare/prepare.ts'
export { runRequest } from './graph/request.ts'
export type { GraphRequest } from './graph/request.ts'
export type { Tensors } from './graph/tensors.ts'
export type { BlockTimes } from './host/block-times.ts'
export type { RunHostProcess } from './host/host-process.ts'
export type { HostStats } from './host/protocol.ts'
export { CALL_BEGIN, CALL_TAIL, callsGrammar, MAX_TOOLS, TOOL_NAME } from './host/grammar/calls.ts'
export type { CallsFormat } from './host/grammar/calls.ts'
export { AnswerFormatError, FormatUnsupportedError } from './host/grammar/errors.ts'
export { checkedSchema, MAX_SCHEMA_TEXT } from './host/grammar/schema.ts'
export { DraftHosts } from './draft/draft-hosts.ts'
export type { DraftHostsNeeds } from './draft/draft-hosts.ts'
export { ContextFullError, COUNTED_CONTEXTS } from './origin/errors.ts'
export { generate } from './origin/generate.ts'
export type { GenerateNeeds } from './origin/generate.ts'
export type { DraftModel } from './origin/speculation/drafting.ts'
export { PrefixNames } from './prefix/names.ts'
export { openSession } from './origin/session.ts'
export type { Failover, OriginSession, Rerouted, SessionRequest } from './origin/session.ts'
export type { AuditEvidence, AuditorChoice, SessionAudit } from './origin/audit-types.ts'
export { formatRoute, routeOf } from './origin/route.ts'
export type { RouteSegment } from './origin/route.ts'
export { joinTraces } from './origin/joined-trace.ts'
export { summarizeTrace } from './origin/trace.ts'
export type { HopTimes, SessionTrace, TraceStep, TraceSummary } from './origin/trace.ts'
export type {
  Candidate,
  FormatSpeed,
  MeasuredText,
  QualityEvent,
  QualityResult,
  QualityTask,
  WholeResult,
} from './host/quality/protocol.ts'
export type { MeasuredLevels, RangeEvent, RangeResult, RangeTask } from './host/range/protocol.ts'
export type { LevelRange, Outlier, RowGate } from './ring/row-check.ts'
export { StageHostLostError } from './host/host-errors.ts'
export { kernelTrial, qualityProgram, rangeProgram } from './programs.ts'
export type { KernelTrial } from './programs.ts'
export { isWantOfRoom } from './origin/relief.ts'
export { DeadlineError, NoRouteError, PeerLostError } from './ring/errors.ts'
export { MAX_BIASES } from './ring/protocol.ts'
export { RingService } from './ring/service.ts'
export type { SiteGate } from './ring/site-gate.ts'
export { servesRange } from './stage-ranges.ts'
export type { BlockRange } from './stage-ranges.ts'
export { Stages } from './stages.ts'
export type { SessionAdapter } from './session-adapter.ts'
export type { LoadedStage, StagesNeeds } from './stages.ts'

export const PIPELINE_ERRORS: readonly ErrorInfo[] = [
  ...STAGE_ERRORS,
  ...HOST_ERRORS,
  ...GRAMMAR_ERRORS,
  StageHostError.info,
  StageHostLostError.info,
  ...GRAPH_ERRORS,
  ...TRAIN_LINE_ERRORS,
  ...GRADIENT_ERRORS,
  ...RING_ERRORS,
  ...ORIGIN_ERRORS,
]
