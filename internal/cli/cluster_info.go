package cli

import (
	"context"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// clusterInfo is what `cluster info` shows.
type clusterInfo struct {
	ClusterID  string        `json:"cluster_id"`
	Controller int32         `json:"controller"`
	Brokers    []brokerInfo  `json:"brokers"`
	Features   []featureInfo `json:"features"`
}

type brokerInfo struct {
	ID         int32  `json:"id"`
	Host       string `json:"host"`
	Port       int32  `json:"port"`
	Rack       string `json:"rack,omitempty"`
	Controller bool   `json:"controller"`
}

// featureInfo is one feature of the cluster: the level that is finalised, and those that the asked broker supports.
type featureInfo struct {
	Name      string `json:"name"`
	Finalized *int16 `json:"finalized"`
	Min       int16  `json:"supported_min"`
	Max       int16  `json:"supported_max"`
}

func (s *shell) clusterCommand() *cobra.Command {
	return family("cluster", "Look at the cluster", &cobra.Command{
		Use: "info", Short: "Show brokers, controller, cluster id and features", Args: noArguments,
		RunE: s.asked(func(ctx context.Context, c *cluster, _ []string) error {
			info, err := c.info(ctx)
			if err != nil {
				return err
			}
			return s.showCluster(info)
		}),
	})
}

func (c *cluster) info(ctx context.Context) (*clusterInfo, error) {
	m, err := c.admin.BrokerMetadata(ctx)
	if err != nil {
		return nil, err
	}
	info := &clusterInfo{ClusterID: m.Cluster, Controller: m.Controller, Brokers: []brokerInfo{}, Features: []featureInfo{}}
	for _, b := range m.Brokers {
		info.Brokers = append(info.Brokers, brokerInfo{ID: b.NodeID, Host: b.Host, Port: b.Port, Rack: deref(b.Rack), Controller: b.NodeID == m.Controller})
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = clientID, buildVersion().Version
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return nil, err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return nil, answerError("the broker's versions", err, "")
	}
	finalized := map[string]int16{}
	for _, f := range resp.FinalizedFeatures {
		finalized[f.Name] = f.MaxVersionLevel
	}
	supported := map[string]featureInfo{}
	for _, f := range resp.SupportedFeatures {
		supported[f.Name] = featureInfo{Name: f.Name, Min: f.MinVersion, Max: f.MaxVersion}
	}
	for name, level := range finalized {
		f := supported[name]
		f.Name, f.Finalized = name, &level
		supported[name] = f
	}
	for _, name := range inNameOrder(supported) {
		info.Features = append(info.Features, supported[name])
	}
	return info, nil
}

func (s *shell) showCluster(info *clusterInfo) error {
	if s.output == jsonOutput {
		return writeJSON(s.out, info)
	}
	if _, err := fmt.Fprintf(s.out, "Cluster %s\n\n", orAbsent(info.ClusterID)); err != nil {
		return err
	}
	brokers := newTable("BROKER", "HOST", "PORT", "RACK", "")
	for _, b := range info.Brokers {
		role := ""
		if b.Controller {
			role = "controller"
		}
		brokers.add(strconv.Itoa(int(b.ID)), b.Host, strconv.Itoa(int(b.Port)), orAbsent(b.Rack), role)
	}
	if err := brokers.write(s.out); err != nil || len(info.Features) == 0 {
		return err
	}
	features := newTable("FEATURE", "LEVEL", "SUPPORTED")
	for _, f := range info.Features {
		level := absent
		if f.Finalized != nil {
			level = strconv.Itoa(int(*f.Finalized))
		}
		features.add(f.Name, level, fmt.Sprintf("%d to %d", f.Min, f.Max))
	}
	if _, err := fmt.Fprintln(s.out); err != nil {
		return err
	}
	return features.write(s.out)
}
