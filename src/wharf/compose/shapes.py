"""What a canonical project is made of: the fields of each thing in the order in which Compose writes them, their kinds.

A kind is a word (`str`, `bool`, `duration` …) or is built of a shape's name: `Shape` a value, `*Shape` one that may be
missing, `[Shape]` a list, `<Shape>` and `<*Shape>` mappings. `!` after a name: written although it is empty, in YAML
and JSON; `?` after it: in JSON alone. The order and these marks decide the configuration hash (`hashes.py`).
"""

Field = tuple[str, str]

_TEXT = {
    "Project": "name str, services! <Service>, networks <Network>, volumes <Volume>, secrets <Secret>, "
    "configs <Config>, models <Model>",
    "Service": "profiles list, annotations mapping, attach *bool, build *Build, develop *Develop, blkio_config *Blkio, "
    "cap_add list, cap_drop list, cgroup_parent str, cgroup str, cpu_count int, cpu_percent float32, cpu_period int, "
    "cpu_quota int, cpu_rt_period int, cpu_rt_runtime int, cpus float32, cpuset str, cpu_shares int, command? shell, "
    "configs [FileReference], container_name str, credential_spec *CredentialSpec, depends_on <Dependency>, "
    "deploy *Deploy, device_cgroup_rules list, devices [Device], dns strings, dns_opt list, dns_search strings, "
    "dockerfile str, domainname str, entrypoint? shell, provider *Provider, environment environment, "
    "env_file [EnvFile], expose numbers, extends *Extends, external_links list, extra_hosts hosts, group_add list, "
    "gpus [DeviceRequest], hostname str, healthcheck *HealthCheck, image str, init *bool, ipc str, isolation str, "
    "labels labels, label_file list, links list, logging *Logging, log_driver str, log_opt mapping, mem_limit bytes, "
    "mem_reservation bytes, memswap_limit bytes, mem_swappiness bytes, mac_address str, models <*ServiceModel>, "
    "net str, network_mode str, networks <*ServiceNetwork>, oom_kill_disable bool, oom_score_adj int, pid str, "
    "pids_limit int, platform str, ports [Port], privileged bool, pull_policy str, read_only bool, restart str, "
    "runtime str, scale *int, secrets [FileReference], security_opt list, shm_size bytes, stdin_open bool, "
    "stop_grace_period *duration, stop_signal str, storage_opt mapping, sysctls mapping, tmpfs strings, tty bool, "
    "ulimits <*Ulimit>, use_api_socket bool, user str, userns_mode str, uts str, volume_driver str, "
    "volumes [Mount], volumes_from list, working_dir str, post_start [Hook], pre_stop [Hook]",
    "Provider": "type str, options multi",
    "Build": "context str, dockerfile str, dockerfile_inline str, entitlements list, args environment, provenance str, "
    "sbom str, ssh ssh, labels labels, cache_from strings, cache_to strings, no_cache bool, "
    "additional_contexts mapping, pull bool, extra_hosts hosts, isolation str, network str, target str, "
    "secrets [FileReference], shm_size bytes, tags strings, ulimits <*Ulimit>, platforms strings, privileged bool",
    "Blkio": "weight int, weight_device [WeightDevice], device_read_bps [ThrottleDevice], "
    "device_read_iops [ThrottleDevice], device_write_bps [ThrottleDevice], device_write_iops [ThrottleDevice]",
    "WeightDevice": "path! str, weight! int",
    "ThrottleDevice": "path! str, rate! bytes",
    "Device": "source str, target str, permissions str",
    "Logging": "driver str, options options",
    "Deploy": "mode str, replicas *int, labels labels, update_config *UpdateConfig, rollback_config *UpdateConfig, "
    "resources? Resources, restart_policy *RestartPolicy, placement? Placement, endpoint_mode str",
    "UpdateConfig": "parallelism *int, delay duration, failure_action str, monitor duration, "
    "max_failure_ratio float32, order str",
    "Resources": "limits *Resource, reservations *Resource",
    "Resource": "cpus cpus, memory bytes, pids int, devices [DeviceRequest], generic_resources [GenericResource]",
    "GenericResource": "discrete_resource_spec *DiscreteResource",
    "DiscreteResource": "kind! str, value! int",
    "RestartPolicy": "condition str, delay *duration, max_attempts *int, window *duration",
    "Placement": "constraints list, preferences [Preference], max_replicas_per_node int",
    "Preference": "spread str",
    "ServiceNetwork": "aliases list, driver_opts options, gw_priority int, interface_name str, ipv4_address str, "
    "ipv6_address str, link_local_ips list, mac_address str, priority int",
    "Port": "name str, mode str, host_ip str, target int, published str, protocol str, app_protocol str",
    "Mount": "type str, source str, target str, read_only bool, consistency str, bind *MountBind, "
    "volume *MountVolume, tmpfs *MountTmpfs, image *MountImage",
    "MountBind": "selinux str, propagation str, create_host_path bool, recursive str",
    "MountVolume": "labels mapping, nocopy bool, subpath str",
    "MountTmpfs": "size bytes, mode int",
    "MountImage": "subpath str",
    "FileReference": "source str, target str, uid str, gid str, mode *mode",
    "Dependency": "condition str, restart bool, required! bool",
    "Extends": "file str, service str",
    "CredentialSpec": "config str, file str, registry str",
    "HealthCheck": "test test, timeout *duration, interval *duration, retries *int, start_period *duration, "
    "start_interval *duration, disable bool",
    "DeviceRequest": "capabilities list, driver str, count count, device_ids list, options mapping",
    "ServiceModel": "endpoint_var str, model_var str",
    "Hook": "command? shell, user str, privileged bool, working_dir str, environment environment",
    "Develop": "watch [Trigger]",
    "Trigger": "path! str, action! str, target str, exec? Hook, include list, ignore list, initial_sync bool",
    "Network": "name str, driver str, driver_opts options, ipam? Ipam, external bool, internal bool, attachable bool, "
    "labels labels, enable_ipv4 *bool, enable_ipv6 *bool",
    "Ipam": "driver str, config [Pool]",
    "Pool": "subnet str, gateway str, ip_range str, aux_addresses mapping",
    "Volume": "name str, driver str, driver_opts options, external bool, labels labels",
    "Secret": "name str, file str, environment str, content str, external bool, labels labels, driver str, "
    "driver_opts mapping, template_driver str",
    "Config": "name str, file str, environment str, content str, external bool, labels labels, driver str, "
    "driver_opts mapping, template_driver str",
    "Model": "name str, model str, context_size int, runtime_flags list",
    "EnvFile": "path str, required bool, format str",
    "Ulimit": "single int, soft int, hard int",
}  # fmt: skip


def _fields(text: str) -> tuple[Field, ...]:
    return tuple((name, kind) for name, _, kind in (entry.strip().partition(" ") for entry in text.split(",")))


SHAPES: dict[str, tuple[Field, ...]] = {name: _fields(text) for name, text in _TEXT.items()}
KINDS: dict[str, dict[str, str]] = {
    name: {field.rstrip("!?"): kind for field, kind in fields} for name, fields in SHAPES.items()
}
EXTENSIONS = "#extensions"
"""Where a thing keeps its `x-…` fields."""
